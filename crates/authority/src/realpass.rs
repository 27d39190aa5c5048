//! Issuing RealPasses (spec/realpass.md, B12, B22 and I1 to I9): what of each person is kept for good, what
//! is said of them, and the signature.
//!
//! 1. the token says who asks, and the store what is kept of them: one statement;
//! 2. the epoch is one that is issued now, and the ledger says under which key;
//! 3. the register says who they are; their facts are coarsened as the epoch's cohorts say;
//! 4. the request is for the commitment that is kept. The first one is kept with fresh entropy;
//!    another one only after a reset that the ledger shows, and an enrolment later than its delay;
//! 5. the proof is verified and the signature made, on threads for work that takes long, as many at
//!    once as there are processors; whoever comes when too many wait is sent away at once;
//! 6. the person is counted for the epoch, and then the answer is sent.

use realdid_core::state::{Issuer, Standing};
use realdid_exchange::vci::{PASS_CONFIGURATION, PassAnswer, PassRequest, VciError};
use realdid_pass::facts::{Continuity, Facts};
use realdid_pass::{IssuerKey, Kept, PassError, Request};
use serde_json::Value;
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};
use tokio::sync::{Semaphore, SemaphorePermit};

use crate::cohort::{Cohort, Cohorts, facts_of};
use crate::issuing::IssueError;
use crate::oauth::Caller;
use crate::service::Authority;
use crate::store::{KeptRow, PassHolder, StoreError};
use crate::text::seeded;

/// How many requests wait for each that is worked on, at most.
const WAITING_FOR_EACH: usize = 64;
/// For how many epochs cohorts are remembered: there are never passes for more than these.
const REMEMBERED_EPOCHS: usize = 4;

/// What issuing has at hand beside the store.
pub(crate) struct Desk {
    keys: Vec<Arc<IssuerKey>>,
    least: u64,
    /// This issuer's record, as the ledger last showed it.
    record: Mutex<Option<Issuer>>,
    cohorts: Mutex<BTreeMap<u64, Arc<Cohorts>>>,
    /// People of each epoch and kind that the store's counts do not have yet.
    uncounted: Mutex<BTreeMap<(u64, Cohort), u64>>,
    places: Semaphore,
    benches: Semaphore,
}

impl Desk {
    pub fn new(keys: Vec<Arc<IssuerKey>>, least: u64) -> Self {
        let at_once = std::thread::available_parallelism().map_or(1, usize::from);
        Self {
            keys,
            least,
            record: Mutex::new(None),
            cohorts: Mutex::new(BTreeMap::new()),
            uncounted: Mutex::new(BTreeMap::new()),
            places: Semaphore::new(at_once * WAITING_FOR_EACH),
            benches: Semaphore::new(at_once),
        }
    }

    /// A place among those who wait, or nothing.
    fn place(&self) -> Result<SemaphorePermit<'_>, IssueError> {
        self.places.try_acquire().map_err(|_| IssueError::Busy)
    }

    /// Every place, so that nobody gets one.
    #[cfg(test)]
    pub fn fill(&self) -> SemaphorePermit<'_> {
        let all = self.places.available_permits() as u32;
        self.places.try_acquire_many(all).unwrap()
    }

    /// Does what takes a processor for a while.
    async fn work<T: Send + 'static>(
        &self,
        work: impl FnOnce() -> Result<T, PassError> + Send + 'static,
    ) -> Result<T, IssueError> {
        let _bench = self
            .benches
            .acquire()
            .await
            .map_err(|_| IssueError::Stopped)?;
        let done = tokio::task::spawn_blocking(work)
            .await
            .map_err(|_| IssueError::Stopped)?;
        Ok(done.map_err(VciError::from)?)
    }

    fn add(&self, epoch: u64, is: Cohort, people: u64) {
        let mut uncounted = self
            .uncounted
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        *uncounted.entry((epoch, is)).or_default() += people;
    }

    pub fn learn(&self, record: Issuer) {
        *self.record.lock().unwrap_or_else(PoisonError::into_inner) = Some(record);
    }

    /// Our key for an epoch, if it is the one that the ledger has.
    fn key(&self, epoch: u64) -> Option<Arc<IssuerKey>> {
        let record = self.record.lock().unwrap_or_else(PoisonError::into_inner);
        let record = record
            .as_ref()
            .filter(|record| record.standing == Standing::Active)?;
        let named = record.pass_key(epoch)?;
        self.keys
            .iter()
            .find(|key| key.public().to_bytes() == named.0)
            .cloned()
    }
}

impl Authority {
    /// The credential endpoint, for a RealPass.
    pub async fn pass(&self, caller: &Caller, body: &[u8]) -> Result<Value, IssueError> {
        let _place = self.desk.place()?;
        let now_ms = self.clock.now_ms();
        let holder = self
            .store
            .pass_holder(caller.token()?, now_ms / 1000)
            .await?;
        let holder = holder.ok_or(VciError::AccessToken)?;
        self.bound(caller, &holder.grant.jkt, "/credential").await?;
        if !holder.grant.opens(PASS_CONFIGURATION) {
            return Err(VciError::UnknownConfiguration.into());
        }
        let asked = PassRequest::parse(body)?;
        let parameters = &self.ledger.genesis().parameters;
        if !parameters.pass_issuable(asked.epoch, now_ms) {
            return Err(VciError::PassEpoch.into());
        }
        if holder.standing != Standing::Active {
            return Err(IssueError::Suspended);
        }
        let key = self.pass_key(asked.epoch).await?;
        let person = self.person(&holder.person).await?;
        let begins_ms = parameters.pass_begins_ms(asked.epoch);
        let is = facts_of(&person, &self.country, begins_ms / 1000);
        let shown = self.cohorts(asked.epoch).await?.shown(is);

        let kept = self.keep(&holder, &asked.request, &key, now_ms).await?;
        let facts = Facts {
            epoch: asked.epoch,
            adult: shown.adult,
            region: shown.region,
            kind: shown.kind,
            assurance: shown.assurance,
            continuity: continuity(&kept, begins_ms, parameters.personhood_period_s),
        };
        let (request, kept) = (asked.request, kept.kept);
        let issue = move || key.issue(&request, &kept, &facts.messages()?);
        let issued = self.desk.work(issue).await?;
        self.count(asked.epoch, &holder.person, is).await?;
        metrics::counter!("authority_passes_total").increment(1);
        Ok(PassAnswer { facts, issued }.to_body())
    }

    /// What is kept of the person. The first request is kept with fresh entropy, and a request for
    /// another commitment in its place after a reset; which of two at once is decided by the store.
    async fn keep(
        &self,
        holder: &PassHolder,
        request: &Request,
        key: &Arc<IssuerKey>,
        now_ms: u64,
    ) -> Result<KeptRow, IssueError> {
        let Some(row) = &holder.kept else {
            let first = self.enrol_pass(request, key).await?;
            return Ok(self.store.keep(&holder.person, &first).await?);
        };
        if request.commitment() == row.kept.commitment() {
            return Ok(row.clone());
        }
        let reset_ms = self
            .open_reset(holder, row, now_ms)
            .await?
            .ok_or(VciError::PassCommitment)?;
        let other = KeptRow {
            kept: self.enrol_pass(request, key).await?,
            reset_ms,
            replaced_ms: now_ms,
        };
        let row = self.store.replace_kept(&holder.person, &other).await?;
        metrics::counter!("authority_pass_resets_total").increment(1);
        Ok(row)
    }

    async fn enrol_pass(
        &self,
        request: &Request,
        key: &Arc<IssuerKey>,
    ) -> Result<Kept, IssueError> {
        let (request, key, mut drawn) = (request.clone(), key.clone(), seeded()?);
        self.desk
            .work(move || key.enrol(&mut drawn, &request))
            .await
    }

    /// The reset that lets this device bring other secrets: announced on the ledger within the last
    /// personhood period, not used, and its delay was over when this device was enrolled. A thief
    /// with an old device, or with words, gets nothing by it: an enrolment takes evidence.
    async fn open_reset(
        &self,
        holder: &PassHolder,
        row: &KeptRow,
        now_ms: u64,
    ) -> Result<Option<u64>, IssueError> {
        let parameters = &self.ledger.genesis().parameters;
        let seen = self.ledger.enrolment(&holder.tag, holder.height).await?;
        let entry = seen
            .record
            .filter(|entry| entry.standing == Standing::Active);
        Ok(entry
            .filter(|entry| {
                entry.reset_effective(parameters, holder.enrolled_ms)
                    && entry.reset_recently(parameters, now_ms)
            })
            .and_then(|entry| entry.reset_ms)
            .filter(|reset_ms| *reset_ms != row.reset_ms))
    }

    /// Our key for an epoch. The ledger is asked again before it is said that there is none.
    async fn pass_key(&self, epoch: u64) -> Result<Arc<IssuerKey>, IssueError> {
        if let Some(key) = self.desk.key(epoch) {
            return Ok(key);
        }
        self.learn_record().await?;
        self.desk.key(epoch).ok_or(IssueError::PassKey)
    }

    /// Looks up this issuer's record.
    pub(crate) async fn learn_record(&self) -> Result<(), IssueError> {
        if let Some(record) = self.ledger.issuer(&self.issuer_id).await?.record {
            self.desk.learn(record);
        }
        Ok(())
    }

    /// The cohorts of an epoch, fixed by whichever process needs them first, from the counts of the
    /// epoch before as they are then.
    pub(crate) async fn cohorts(&self, epoch: u64) -> Result<Arc<Cohorts>, StoreError> {
        let remembered = |desk: &Desk| {
            let cohorts = desk.cohorts.lock().unwrap_or_else(PoisonError::into_inner);
            cohorts.get(&epoch).cloned()
        };
        if let Some(cohorts) = remembered(&self.desk) {
            return Ok(cohorts);
        }
        let fixed = match self.store.cohorts(epoch).await? {
            Some(fixed) => fixed,
            None => {
                self.hand_in_counts().await?;
                let counts = self.store.counts(epoch.saturating_sub(1)).await?;
                let written = Counted::of(&counts, self.desk.least).to_text();
                self.store.fix_cohorts(epoch, &written).await?;
                let fixed = self.store.cohorts(epoch).await?;
                fixed.unwrap_or(written)
            }
        };
        let cohorts = Arc::new(Counted::parse(&fixed)?.cohorts()?);
        let mut all = self
            .desk
            .cohorts
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        all.insert(epoch, cohorts.clone());
        while all.len() > REMEMBERED_EPOCHS {
            all.pop_first();
        }
        Ok(cohorts)
    }

    /// Counts a person once for an epoch: who it is now, of which kind with the next beat. A process
    /// that is killed between loses some of a kind, which makes the next epoch no finer.
    async fn count(&self, epoch: u64, person: &str, is: Cohort) -> Result<(), StoreError> {
        if self.store.record_pass(epoch, person).await? {
            self.desk.add(epoch, is, 1);
        }
        Ok(())
    }

    /// Hands the store the counts that it does not have yet.
    pub(crate) async fn hand_in_counts(&self) -> Result<(), StoreError> {
        let mut left = {
            let uncounted = &mut *self
                .desk
                .uncounted
                .lock()
                .unwrap_or_else(PoisonError::into_inner);
            std::mem::take(uncounted)
        };
        while let Some(((epoch, is), people)) = left.pop_first() {
            if let Err(error) = self.store.add_count(epoch, is, people).await {
                self.desk.add(epoch, is, people);
                for ((epoch, is), people) in left {
                    self.desk.add(epoch, is, people);
                }
                return Err(error);
            }
        }
        Ok(())
    }
}

/// Whether the person's secrets took the place of others within a period before the epoch.
fn continuity(row: &KeptRow, begins_ms: u64, period_s: u64) -> Continuity {
    let ends_ms = row
        .replaced_ms
        .saturating_add(period_s.saturating_mul(1000));
    if row.replaced_ms > 0 && begins_ms < ends_ms {
        Continuity::Reset
    } else {
        Continuity::Unbroken
    }
}

/// What an epoch's cohorts come from, as the store keeps it: `least`, then a line for each kind of
/// people, the codes of its facts and how many.
struct Counted {
    least: u64,
    counts: Vec<(Cohort, u64)>,
}

impl Counted {
    fn of(counts: &[(Cohort, u64)], least: u64) -> Self {
        Self {
            least,
            counts: counts.to_vec(),
        }
    }

    fn to_text(&self) -> String {
        let line = |(cohort, people): &(Cohort, u64)| {
            let Cohort {
                adult,
                region,
                kind,
                assurance,
            } = *cohort;
            format!(
                "\n{} {} {} {} {people}",
                adult as u8, region as u8, kind as u8, assurance as u8
            )
        };
        let lines: String = self.counts.iter().map(line).collect();
        format!("{}{lines}", self.least)
    }

    fn parse(text: &str) -> Result<Self, StoreError> {
        let malformed = || StoreError::from(PassError::Messages);
        let mut lines = text.lines();
        let least = lines.next().and_then(|line| line.parse().ok());
        let count = |line: &str| {
            let numbers: Vec<u64> = line.split(' ').map_while(|n| n.parse().ok()).collect();
            let [adult, region, kind, assurance, people] = numbers.as_slice() else {
                return Err(malformed());
            };
            let code = |n: &u64| u8::try_from(*n).map(|n| [n]).map_err(|_| malformed());
            let cohort = Cohort {
                adult: realdid_pass::facts::Adult::from_message(&code(adult)?)?,
                region: realdid_pass::facts::Region::from_message(&code(region)?)?,
                kind: realdid_pass::facts::Kind::from_message(&code(kind)?)?,
                assurance: realdid_pass::facts::Assurance::from_message(&code(assurance)?)?,
            };
            Ok((cohort, *people))
        };
        Ok(Self {
            least: least.ok_or_else(malformed)?,
            counts: lines.map(count).collect::<Result<_, _>>()?,
        })
    }

    fn cohorts(&self) -> Result<Cohorts, StoreError> {
        Ok(Cohorts::new(&self.counts, self.least))
    }
}
