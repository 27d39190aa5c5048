//! The rules by which an operation can be refused, with stable names (spec/operations.md).
//!
//! A receipt carries the rule's number; logs, interfaces and the command line carry its code.

use minicbor::{Decode, Encode};

macro_rules! rules {
    ($($number:literal $variant:ident $code:literal $text:literal),* $(,)?) => {
        /// A rule that an operation broke.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Encode, Decode)]
        #[cbor(index_only)]
        pub enum Rule {
            $(#[doc = $text] #[n($number)] $variant,)*
        }

        impl Rule {
            /// Every rule, in the order of its number.
            pub const ALL: &[Rule] = &[$(Rule::$variant),*];

            /// The stable code, as in spec/operations.md.
            pub fn code(self) -> &'static str {
                match self { $(Self::$variant => $code,)* }
            }

            /// The rule in one sentence.
            pub fn text(self) -> &'static str {
                match self { $(Self::$variant => $text,)* }
            }
        }
    };
}

rules! {
    1 Version "op.version" "the operation's version is one that this network runs",
    2 Network "op.network" "the operation is made for this network",
    3 Expired "op.expired" "the height is not past the operation's expiry",
    4 ExpiryTooFar "op.expiry_too_far" "the expiry lies within the network's window",
    5 Signature "op.signature" "every signature verifies",
    6 Signer "op.signer" "the signing key is one that may ask for this",
    7 SignatureCount "op.signature_count" "the operation carries as many signatures as its kind needs, each by another key",
    8 Sequence "op.sequence" "the sequence number is one more than the ledger's",
    9 Shape "op.shape" "the content keeps the bounds of its kind",
    10 Sponsor "op.sponsor" "an operation that creates state has an active sponsor's signature or a personhood proof",
    11 Quota "op.quota" "the sponsor or issuer has quota left in this epoch",
    12 UnneededSponsor "op.unneeded_sponsor" "only operations that create state are paid for, and once",
    13 Personhood "op.personhood" "a personhood proof verifies for this operation and shows its epoch alone",
    14 SlotSpent "op.slot_spent" "the personhood slot is not spent",
    15 Slot "op.slot" "a personhood slot is of the current period, and its number below the network's bound",
    16 PassEpoch "op.pass_epoch" "the RealPass is of the current epoch",
    17 Suite "op.suite" "every key is of a suite that the network admits",
    20 DidUnknown "did.unknown" "the DID is on the ledger",
    21 DidExists "did.exists" "the DID is not on the ledger yet",
    22 DidDeactivated "did.deactivated" "the DID is not deactivated",
    23 DidFrozen "did.frozen" "the current keys are not frozen",
    24 DidNotRecovering "did.not_recovering" "a recovery is pending",
    25 DidDisputed "did.disputed" "no recovery is pending when a current key deactivates",
    26 DidReuse "did.reuse" "new keys and commitments differ from those that were shown",
    27 Endpoint "did.endpoint" "an endpoint stands under the sponsor's own domain",
    28 DidAlreadyFrozen "did.already_frozen" "the DID is not frozen already",
    40 IssuerUnknown "issuer.unknown" "the issuer is admitted",
    41 IssuerSuspended "issuer.suspended" "the issuer is active",
    42 IssuerExists "issuer.exists" "the issuer is not admitted yet",
    43 IssuerKey "issuer.key" "the issuer's key exists, or does not yet, as the decision needs",
    44 IssuerStanding "issuer.standing" "the issuer is in a standing that allows this change",
    45 PassTotal "issuer.pass_total" "a total is of an epoch that has begun, and grows",
    50 EnrolmentUnknown "enrolment.unknown" "the person tag has an enrolment",
    51 EnrolmentStanding "enrolment.standing" "the enrolment is in a standing that allows this change",
    52 EnrolmentEpoch "enrolment.epoch" "an enrolment is made in the current epoch or the one before",
    53 EnrolmentReset "enrolment.reset" "pseudonym secrets are reset once in a personhood period, and only a reset that is pending is taken back",
    60 ServiceUnknown "service.unknown" "the service is registered",
    61 ServiceExists "service.exists" "the service id is not taken",
    62 ServiceStanding "service.standing" "the service is in a standing that allows this change",
    63 ServiceSuspended "service.suspended" "the service is active",
    70 DisplayUnknown "display.unknown" "the display is on the ledger",
    71 DisplayExists "display.exists" "the display's digest is not taken",
    72 DisplayWithdrawn "display.withdrawn" "the display is not withdrawn already",
    75 BatchExists "batch.exists" "the batch is not on the ledger yet",
    80 RecognitionUnknown "recognition.unknown" "the network is recognised",
    81 RecognitionExists "recognition.exists" "no other network is recognised by this name",
    82 RecognitionStanding "recognition.standing" "the recognition is in a standing that allows this change",
    83 RecognitionCheckpoint "recognition.checkpoint" "the recognised network's validators have certified the checkpoint",
    84 RecognitionBehind "recognition.behind" "the checkpoint, term or fork that is shown is newer than what is kept",
    85 RecognitionHandOver "recognition.hand_over" "the hand-over leads from the newest term that is known to the next one",
    86 RecognitionNoFork "recognition.no_fork" "a fork is two different headers of one height",
    90 Parameters "governance.parameters" "new parameters are bounded, keep what is fixed and the rules that run, and stand far enough ahead",
    91 Governors "governance.keys" "governance has 1 to 32 distinct keys and a threshold among them",
    92 TermNumber "committee.number" "the next term is one more than the running one, and none is decided already",
    93 TermNotice "committee.notice" "the next term begins at least 64 blocks ahead",
    94 TermShape "committee.shape" "a term has 1 to 100 validators in order, the digest of a polynomial and a key of its group",
    95 TermKey "committee.key" "the term's key is one that this decision may hand the network to",
}

impl std::fmt::Display for Rule {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.code())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn codes_are_distinct() {
        let mut codes: Vec<_> = Rule::ALL.iter().map(|rule| rule.code()).collect();
        codes.sort_unstable();
        codes.dedup();
        assert_eq!(codes.len(), Rule::ALL.len());
    }
}
