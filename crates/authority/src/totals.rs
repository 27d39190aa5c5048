//! Totals (spec/realpass.md, I9; promise P6): how many people were issued a RealPass for each epoch,
//! declared on the ledger when the epoch is over, for anyone to compare with what people hold.
//!
//! Any process of an authority does it, and one does: the total is counted in one statement, taken
//! upon itself in another, and marked when the ledger has it. A process that ends in between leaves
//! it to the others; the ledger refuses a total that it has, which is as good as accepting it.

use realdid_core::operation::Body;
use realdid_core::rule::Rule;
use std::sync::atomic::Ordering;

use crate::issuing::IssueError;
use crate::ledger::LedgerError;
use crate::service::Authority;

/// How long a process may take to declare a total before another may try, in seconds.
const CLAIM_S: u64 = 60;

impl Authority {
    /// Declares the totals of the epochs that are over.
    pub(crate) async fn declare_totals(&self) -> Result<(), IssueError> {
        let now_s = self.clock.now_s();
        let epoch = self.ledger.genesis().parameters.epoch_at(now_s * 1000);
        // Counting a nation takes a while: not again once this epoch's predecessors are done.
        if self.declared_until.load(Ordering::Relaxed) == epoch {
            return Ok(());
        }
        let mut all = true;
        for (over, total) in self.store.undeclared(epoch).await? {
            let ours = self.store.claim_total(over, now_s, CLAIM_S).await?;
            if ours && self.declare(over, total).await? {
                self.store.declared(over).await?;
            } else {
                all = false;
            }
        }
        if all {
            self.declared_until.store(epoch, Ordering::Relaxed);
        }
        Ok(())
    }

    /// Whether the ledger has the total now.
    async fn declare(&self, epoch: u64, total: u64) -> Result<bool, LedgerError> {
        let (tip, _) = self.ledger.tip().await?;
        let body = Body::PassTotal(self.issuer_id, epoch, total);
        let operation = self.ledger.sign(body, tip, &self.keys.operation);
        match self.ledger.submit_and_wait(&operation).await {
            Ok(_) => Ok(true),
            Err(error) if error.refused() == Some(Rule::PassTotal.code()) => {
                let stands = self.ledger.totals(&self.issuer_id, epoch).await?.record;
                Ok(stands.is_some_and(|totals| totals.passes >= total))
            }
            Err(error) => Err(error),
        }
    }
}
