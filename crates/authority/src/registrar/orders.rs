//! Displays of names on the ledger, at the order of a registered gate (spec/displays.md, rule Y10). What
//! comes here is a service's id, a salted digest and the commitment to a key: no name, no handle.

use std::collections::VecDeque;
use std::sync::{Mutex, PoisonError};

use realdid_core::hash::Hash32;
use realdid_core::operation::{Body, Show};
use realdid_core::rule::Rule;
use realdid_core::state::issuer_id;
use realdid_exchange::display::order::{Act, Order};
use realdid_exchange::registration;

use super::{RegisterError, Registrar};

/// How many displays are remembered until a sealed state has them.
const MAX_RECENT: usize = 1024;

/// The last displays with their services: the ledger proves a record some seconds after its block.
#[derive(Default)]
pub(super) struct Recent(Mutex<VecDeque<(Hash32, Hash32)>>);

impl Recent {
    fn note(&self, digest: Hash32, service: Hash32) {
        let mut recent = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        recent.truncate(MAX_RECENT - 1);
        recent.push_front((digest, service));
    }

    fn has(&self, digest: &Hash32, service: &Hash32) -> bool {
        let recent = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        recent.contains(&(*digest, *service))
    }
}

/// What became of an order.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Ordered {
    pub digest: Hash32,
    /// The block that has it; none where it was withdrawn already.
    pub height: Option<u64>,
}

impl Registrar {
    /// Carries out an order of a service that is registered here.
    pub(super) async fn order(&self, jwt: &str) -> Result<Ordered, RegisterError> {
        let claimed = Order::claimed(jwt)?;
        let registered = self.registered(&claimed.service).await?;
        let registration = registration::claimed(&registered.jwt)?;
        let order = Order::verify(jwt, &registration, &self.url, self.clock.now_s())?;
        let issuer = issuer_id(self.ledger.genesis().hash_function(), &self.url);
        let digest = order.digest;
        let shows = matches!(order.act, Act::Show { .. });
        let body = match order.act {
            Act::Show { withdrawal } => Body::Display(Show {
                issuer,
                service: order.service,
                digest,
                withdrawal,
            }),
            Act::Withdraw { reason } => {
                self.of_service(&digest, &order.service).await?;
                Body::WithdrawDisplay(digest, reason)
            }
        };
        let (tip, _) = self.ledger.tip().await?;
        let operation = self.ledger.sign(body, tip, &self.keys.operation);
        match self.ledger.submit_and_wait(&operation).await {
            Ok(height) => {
                if shows {
                    self.recent.note(digest, order.service);
                }
                Ok(Ordered {
                    digest,
                    height: Some(height),
                })
            }
            // The person was faster: what the gate wants is so.
            Err(error) if error.refused() == Some(Rule::DisplayWithdrawn.code()) => Ok(Ordered {
                digest,
                height: None,
            }),
            Err(error) => Err(error.into()),
        }
    }

    /// One service withdraws its own displays only: the ledger's rule knows the registrar alone.
    async fn of_service(&self, digest: &Hash32, service: &Hash32) -> Result<(), RegisterError> {
        if self.recent.has(digest, service) {
            return Ok(());
        }
        match self.ledger.display(digest).await?.record {
            Some(display) if display.service == *service => Ok(()),
            _ => Err(RegisterError::OtherDisplay),
        }
    }
}
