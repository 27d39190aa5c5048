//! What the gate knows of its own network's ledger: this service, its registrar, and whatever a
//! [`View`] knows.
//!
//! The follower asks the nodes for checkpoints each slot, and for records each status period. While a
//! node answers, records are at most a status period old.

use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};

use realdid_core::answer::StateAnswer;
use realdid_core::genesis::Genesis;
use realdid_core::hash::Hash32;
use realdid_core::state::{Display, Issuer, Service, display_key, issuer_id, service_key};
use realdid_exchange::registration::{self, Registration};
use realdid_exchange::vp::RequestRefused;
use realdid_light::LightError;

use crate::follower::{Follower, Rhythm};
use crate::refusal::Refusal;
use crate::view::{Kept, Limits, View};
use crate::{GateError, now_ms};

/// The service's record among the files of its view.
const SERVICE_FILE: &str = "service.cbor";

/// The gate's own network, and its place there.
pub(crate) struct Trust {
    pub home: View,
    service: Kept<Service>,
    registration_jwt: String,
    service_id: Hash32,
    registrar_id: Hash32,
    /// The registration as it was last verified.
    held: Mutex<Option<Held>>,
}

/// A registration that was verified against these records. While they stay as they are its
/// signature need not be verified again for each login.
struct Held {
    service: Service,
    registrar: Issuer,
    registration: Arc<Registration>,
}

impl Trust {
    /// Begins with the genesis and whatever an earlier run left in `dir`.
    pub fn new(
        genesis: Genesis,
        registration_jwt: String,
        limits: Limits,
        dir: &Path,
    ) -> Result<Self, GateError> {
        let claimed =
            registration::claimed(&registration_jwt).map_err(|_| GateError::Registration)?;
        let registrar_id = issuer_id(genesis.hash_function(), &claimed.registrar);
        let (dir, now_ms) = (dir.join("ledger"), now_ms());
        let trust = Self {
            home: View::new(genesis, limits, &dir, Some(registrar_id), now_ms)?,
            service: Kept::default(),
            registration_jwt,
            service_id: claimed.service_id,
            registrar_id,
            held: Mutex::default(),
        };
        if let Some(answer) = trust.home.recalled(SERVICE_FILE) {
            let learnt = trust.learn_service(answer, now_ms);
            trust.home.note("recall", learnt);
        }
        Ok(trust)
    }

    pub fn service_id(&self) -> Hash32 {
        self.service_id
    }

    pub fn registration_jwt(&self) -> &str {
        &self.registration_jwt
    }

    /// The registration as it stands on the ledger: what this gate may ask for now.
    pub fn registration(&self, now_ms: u64) -> Result<Arc<Registration>, Refusal> {
        match self.home.checkpoint_age_ms(now_ms) {
            Some(age_ms) if age_ms <= self.home.limits().max_age_ms => {}
            _ => return Err(Refusal::STALE),
        }
        let (service, registrar) = self.own_records(now_ms)?;
        let service = service.ok_or(Refusal::REGISTRATION_UNKNOWN)?;
        let registrar = registrar.ok_or(Refusal::REGISTRAR_UNKNOWN)?;
        let refused = |error| Refusal::from(RequestRefused::from(error));
        let now_s = now_ms / 1000;
        // A value is only ever replaced whole: a poisoned lock holds a sound one.
        let mut held = self.held.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(held) = held.as_ref()
            && held.service == service
            && held.registrar == registrar
        {
            held.registration.runs(now_s).map_err(refused)?;
            return Ok(Arc::clone(&held.registration));
        }
        let verified = registration::verify(&self.registration_jwt, &registrar, &service, now_s);
        let registration = Arc::new(verified.map_err(refused)?);
        *held = Some(Held {
            service,
            registrar,
            registration: Arc::clone(&registration),
        });
        Ok(registration)
    }

    /// The records of this service and its registrar, as fresh as the gate's limits ask.
    pub fn own_records(&self, now_ms: u64) -> Result<(Option<Service>, Option<Issuer>), Refusal> {
        let service = self.service.fresh(self.home.limits(), now_ms)?;
        let snapshot = self.home.snapshot();
        let registrar = self.home.issuer(&snapshot, &self.registrar_id, now_ms)?;
        Ok((service, registrar.cloned()))
    }

    /// What proved the records of this service and its registrar.
    pub fn own_answers(&self) -> Option<(StateAnswer, StateAnswer)> {
        let registrar = self.home.issuer_answer(&self.registrar_id)?;
        Some((self.service.answer()?, registrar))
    }

    /// Takes in an answer about this service.
    pub fn learn_service(&self, answer: StateAnswer, now_ms: u64) -> Result<(), LightError> {
        let (snapshot, answer) = self.home.anchored(answer)?;
        let freshness = self.home.freshness(now_ms);
        let proved = snapshot
            .light
            .service(&self.service_id, &answer, &freshness)?;
        self.service.learn(proved, answer);
        Ok(())
    }

    /// What an answer says about a display; nothing is kept of it here.
    pub fn display(
        &self,
        digest: &Hash32,
        answer: StateAnswer,
        now_ms: u64,
    ) -> Result<Option<Display>, LightError> {
        let (snapshot, answer) = self.home.anchored(answer)?;
        let freshness = self.home.freshness(now_ms);
        Ok(snapshot.light.display(digest, &answer, &freshness)?.value)
    }

    /// A display's record in the newest state that a node proves; none where it is proved absent.
    pub async fn newest_display(
        &self,
        follower: &Follower,
        digest: &Hash32,
    ) -> Result<Option<Display>, Refusal> {
        let mut found = None;
        let key = display_key(self.home.snapshot().light.hash_function(), digest);
        follower
            .ask_now(&self.home, &key, |answer| {
                found = self.display(digest, answer, now_ms())?;
                Ok(())
            })
            .await?;
        Ok(found)
    }

    /// Follows until the process ends.
    pub async fn run(&self, follower: &Follower) {
        let rhythm = Rhythm::of(self.home.snapshot().light.genesis());
        let mut refreshed_ms = 0;
        loop {
            follower.checkpoints(&self.home).await;
            let now = now_ms();
            let due = now.saturating_sub(refreshed_ms) >= rhythm.records_ms;
            if (due || self.registration(now).is_err()) && self.records(follower).await {
                refreshed_ms = now;
                self.remember().await;
            }
            if let Some(age_ms) = self.home.checkpoint_age_ms(now_ms()) {
                metrics::gauge!("checkpoint_age_seconds").set(age_ms as f64 / 1000.0);
            }
            tokio::time::sleep(rhythm.pause(self.home.sealed_slot(), now_ms())).await;
        }
    }

    /// Refreshes this service's and the issuers' records. Answers whether all were refreshed.
    async fn records(&self, follower: &Follower) -> bool {
        let by = self.home.snapshot().light.hash_function();
        let key = service_key(by, &self.service_id);
        let own = follower.ask(&self.home, &key, |answer| {
            self.learn_service(answer, now_ms())
        });
        let own = own.await;
        follower.issuers(&self.home).await && own
    }

    /// Writes what is known.
    pub async fn remember(&self) {
        let mut known = self.home.known();
        let service = self.service.encoded();
        known.extend(service.map(|answer| (SERVICE_FILE.to_owned(), answer)));
        self.home.keep(known).await;
    }
}
