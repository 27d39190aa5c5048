//! What a RealPass says of a person: coarse facts out of closed sets (spec/realpass.md, rules B18 to
//! B20).
//!
//! Each fact is one message, so that each is shown or hidden alone. The epoch is shown always: all
//! whom the issuer serves share it.

use crate::error::PassError;
use crate::key::Messages;

/// How many messages a RealPass has.
pub const FACTS: usize = 6;
/// The message that holds the epoch.
pub const EPOCH: usize = 0;

macro_rules! closed_set {
    ($(#[$doc:meta])* $name:ident at $index:literal { $($(#[$value_doc:meta])* $value:ident = $code:literal $text:literal,)* }) => {
        $(#[$doc])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub enum $name { $($(#[$value_doc])* $value = $code,)* }

        impl $name {
            /// Every value there is.
            pub const ALL: &[$name] = &[$(Self::$value,)*];
            /// The index of its message.
            pub const INDEX: usize = $index;

            /// The value's name in requests and interfaces.
            pub fn name(self) -> &'static str {
                match self { $(Self::$value => $text,)* }
            }

            /// From a name.
            pub fn from_name(name: &str) -> Option<Self> {
                Self::ALL.iter().copied().find(|value| value.name() == name)
            }

            /// From a message. Whatever is no value of the set is refused.
            pub fn from_message(message: &[u8]) -> Result<Self, PassError> {
                Self::ALL
                    .iter()
                    .copied()
                    .find(|value| message == [*value as u8])
                    .ok_or(PassError::Messages)
            }
        }
    };
}

closed_set! {
    /// Whether the person is of age.
    Adult at 1 {
        Unstated = 0 "unstated",
        No = 1 "no",
        Yes = 2 "yes",
    }
}
closed_set! {
    /// Where the person is registered, as coarse as a seventh of a country.
    Region at 2 {
        /// Not said, or too few live there.
        Unstated = 0 "unstated",
        North = 1 "north",
        Northeast = 2 "northeast",
        East = 3 "east",
        SouthCentral = 4 "south-central",
        Southwest = 5 "southwest",
        Northwest = 6 "northwest",
        /// Special administrative regions and islands.
        Special = 7 "special",
        Abroad = 8 "abroad",
    }
}
closed_set! {
    /// By which register the person is known.
    Kind at 3 {
        Unstated = 0 "unstated",
        Resident = 1 "resident",
        Foreigner = 2 "foreigner",
    }
}
closed_set! {
    /// How thoroughly the person was verified (eIDAS levels).
    Assurance at 4 {
        Low = 1 "low",
        Substantial = 2 "substantial",
        High = 3 "high",
    }
}

closed_set! {
    /// Whether the person's pseudonyms are the ones they always had (promise P5).
    Continuity at 5 {
        Unstated = 0 "unstated",
        /// Device and words were lost, and the secrets reset at the counter within the last
        /// personhood period.
        Reset = 1 "reset",
        Unbroken = 2 "unbroken",
    }
}

/// All that a RealPass says of a person.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Facts {
    /// The epoch for which it is issued.
    pub epoch: u64,
    pub adult: Adult,
    pub region: Region,
    pub kind: Kind,
    pub assurance: Assurance,
    pub continuity: Continuity,
}

impl Facts {
    /// The messages in their order: the epoch in 8 bytes, big-endian, and the code of each value.
    pub fn messages(&self) -> Result<Messages, PassError> {
        Messages::new(vec![
            self.epoch.to_be_bytes().to_vec(),
            vec![self.adult as u8],
            vec![self.region as u8],
            vec![self.kind as u8],
            vec![self.assurance as u8],
            vec![self.continuity as u8],
        ])
    }

    /// Reads all messages of a credential. Nothing outside the sets is taken: a value of its own
    /// would mark its holder.
    pub fn from_messages(messages: &[Vec<u8>]) -> Result<Self, PassError> {
        let [epoch, adult, region, kind, assurance, continuity] = messages else {
            return Err(PassError::Messages);
        };
        Ok(Self {
            epoch: epoch_of(epoch)?,
            adult: Adult::from_message(adult)?,
            region: Region::from_message(region)?,
            kind: Kind::from_message(kind)?,
            assurance: Assurance::from_message(assurance)?,
            continuity: Continuity::from_message(continuity)?,
        })
    }
}

/// The epoch that is shown, or claimed to be. A presentation without it is refused.
pub fn shown_epoch(messages: &[(usize, Vec<u8>)]) -> Result<u64, PassError> {
    match messages.first() {
        Some((EPOCH, message)) => epoch_of(message),
        _ => Err(PassError::Disclosed),
    }
}

/// What everybody under an issuer's key agrees on (B9): the network and the issuer.
pub fn terms(network: &str, issuer: &[u8; 32]) -> Vec<u8> {
    [network.as_bytes(), &[0], issuer].concat()
}

fn epoch_of(message: &[u8]) -> Result<u64, PassError> {
    let bytes = message.try_into().map_err(|_| PassError::Messages)?;
    Ok(u64::from_be_bytes(bytes))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn facts_read_back_and_nothing_outside_the_sets_does() {
        for region in Region::ALL {
            let facts = Facts {
                epoch: 20_000,
                adult: Adult::Yes,
                region: *region,
                kind: Kind::Resident,
                assurance: Assurance::High,
                continuity: Continuity::Unbroken,
            };
            let messages = facts.messages().unwrap();
            let read = Facts::from_messages(messages.as_slice()).unwrap();
            assert!(read == facts);
            assert_eq!(Region::from_name(region.name()), Some(*region));

            for index in 0..FACTS {
                let change = |to: &[u8]| {
                    let mut marked = messages.as_slice().to_vec();
                    marked[index] = to.to_vec();
                    Facts::from_messages(&marked)
                };
                assert!(change(&[]).is_err());
                assert!(change(&[99]).is_err());
                assert!(change(&[1, 0]).is_err());
                assert!(change(&[0; 9]).is_err());
            }
            assert!(Facts::from_messages(&messages.as_slice()[1..]).is_err());
        }
        assert!(
            Assurance::from_message(&[0]).is_err(),
            "assurance is always stated"
        );
    }

    #[test]
    fn an_epoch_is_shown_first_and_whole() {
        let epoch = 7u64.to_be_bytes().to_vec();
        assert_eq!(shown_epoch(&[(0, epoch.clone()), (1, vec![2])]), Ok(7));
        assert_eq!(shown_epoch(&[(1, epoch)]), Err(PassError::Disclosed));
        assert_eq!(shown_epoch(&[]), Err(PassError::Disclosed));
        assert_eq!(shown_epoch(&[(0, vec![7])]), Err(PassError::Messages));
    }
}
