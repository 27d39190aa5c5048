//! What happens in a run: everything here is drawn from the seed before the run begins.

use crate::store::tests::Chance;
use std::fmt;
use std::time::Duration;

/// How long faults go on in each life of the network.
const FAULTS_MS: u64 = 20_000;

/// A run.
#[derive(Debug, Clone)]
pub struct Plan {
    pub seed: u64,
    pub validators: usize,
    /// Who lies, and how: fewer than a third.
    pub byzantine: Vec<(usize, Lie)>,
    /// How far each validator's clock is off.
    pub skews_ms: Vec<i64>,
    /// How long each validator's disk takes for a block.
    pub disks_ms: Vec<u64>,
    /// Disks say that they have synced, and have not: what a run must not survive.
    pub disks_lie: bool,
    /// Between one operation and the next: at least, and so much more at most.
    pub operation_pause_ms: (u64, u64),
    /// The links after the faults.
    pub healed: Quality,
    /// The committees that follow the first one.
    pub successions: Vec<Succession>,
    /// The lives of the network. Between two of them the power goes everywhere at once.
    pub lives: Vec<Life>,
}

/// A change of the committee, which governance decides once the one before has begun.
#[derive(Debug, Clone)]
pub struct Succession {
    /// The time of the run, before which it is not decided.
    pub at: Duration,
    /// Who votes then, ascending. Who is beyond the first committee follows until it votes.
    pub members: Vec<usize>,
    /// The members of before give shares of their shares, so that the network key stays.
    pub same_key: bool,
    /// Whose process ends at once when it has executed the block so far from the term's first.
    pub crashes: Vec<(usize, i64)>,
}

/// From power on to the next power cut, or to the end.
#[derive(Debug, Clone)]
pub struct Life {
    pub length: Duration,
    /// Who does not start with the others.
    pub late: Vec<(usize, Duration)>,
    /// In order of time.
    pub faults: Vec<(Duration, Fault)>,
}

/// What a Byzantine validator does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Lie {
    /// Says nothing.
    Silent,
    /// Repeats what it hears, and sometimes bends it.
    Garbage,
    /// Votes for everything and against it.
    Contradicting,
    /// Proposes, and gives its blocks to nobody but one.
    Withholding,
    /// Runs twice under one key; each half of the network hears another of the two.
    Twins,
}

#[derive(Debug, Clone)]
pub enum Fault {
    /// From now on the links are so, and only those within a group are there.
    Links(Quality, Vec<u8>),
    /// The process ends at once and comes back after a time; with its state, or with the block
    /// log alone.
    Crash(usize, Duration, bool),
    /// The power goes in the midst of the block log's next writes.
    Tear(usize, u64, Duration),
}

/// The quality of all links.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Quality {
    pub latency_ms: u64,
    pub jitter_ms: u64,
    pub loss_percent: u64,
}

impl Quality {
    pub const GOOD: Self = Self {
        latency_ms: 20,
        jitter_ms: 5,
        loss_percent: 0,
    };

    fn draw(chance: &mut Chance) -> Self {
        Self {
            latency_ms: 5 + chance.below(120),
            jitter_ms: chance.below(40),
            loss_percent: match chance.below(4) {
                0 | 1 => 0,
                2 => chance.below(4),
                _ => chance.below(15),
            },
        }
    }
}

impl Plan {
    pub fn draw(seed: u64) -> Self {
        let mut chance = Chance(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15));
        let validators = if chance.below(8) == 0 { 7 } else { 4 };
        let tolerated = (validators - 1) / 3;
        let mut byzantine: Vec<(usize, Lie)> = Vec::new();
        while byzantine.len() < tolerated && chance.below(3) != 0 {
            let who = chance.below(validators as u64) as usize;
            let lie = match chance.below(5) {
                0 => Lie::Silent,
                1 => Lie::Garbage,
                2 => Lie::Contradicting,
                3 => Lie::Withholding,
                _ => Lie::Twins,
            };
            if byzantine.iter().all(|(other, _)| *other != who) {
                byzantine.push((who, lie));
            }
        }
        let lives = 1 + usize::from(chance.below(3) == 0);
        let successions = Succession::draw(seed, validators, &byzantine);
        Self {
            seed,
            validators,
            byzantine,
            // H6 has a validator accept half a second, and wait out two more.
            skews_ms: (0..validators)
                .map(|_| chance.below(501) as i64 - 250)
                .collect(),
            disks_ms: (0..validators).map(|_| chance.below(15)).collect(),
            disks_lie: false,
            operation_pause_ms: (50, 300),
            healed: Quality::GOOD,
            successions,
            lives: (0..lives)
                .map(|_| Life::draw(&mut chance, validators))
                .collect(),
        }
    }

    /// Four honest validators with exact clocks and disks that take no time.
    pub fn plain(seed: u64, links: Quality, life: Life) -> Self {
        Self {
            seed,
            validators: 4,
            byzantine: Vec::new(),
            skews_ms: vec![0; 4],
            disks_ms: vec![0; 4],
            disks_lie: false,
            operation_pause_ms: (50, 50),
            healed: links,
            successions: Vec::new(),
            lives: vec![life],
        }
    }

    /// Everybody who ever votes.
    pub fn seats(&self) -> usize {
        let members = self.successions.iter().flat_map(|next| &next.members);
        members
            .copied()
            .max()
            .map_or(0, |last| last + 1)
            .max(self.validators)
    }

    pub fn honest(&self, who: usize) -> bool {
        self.byzantine.iter().all(|(liar, _)| *liar != who)
    }

    pub fn lie(&self, who: usize) -> Option<Lie> {
        let found = self.byzantine.iter().find(|(liar, _)| *liar == who);
        found.map(|(_, lie)| *lie)
    }
}

impl Succession {
    /// One plan in four has one change or two, each of one validator. Drawn apart, so that the rest of
    /// a seed's plan stays as it was.
    fn draw(seed: u64, validators: usize, byzantine: &[(usize, Lie)]) -> Vec<Self> {
        let mut chance = Chance(seed.wrapping_mul(0xd6e8_feb8_6659_fd93));
        if chance.below(4) != 0 {
            return Vec::new();
        }
        let mut members: Vec<usize> = (0..validators).collect();
        let mut seats = validators;
        let mut all = Vec::new();
        for _ in 0..1 + chance.below(2) {
            let leaves = chance.below(3) != 0;
            // Fewer than a third lie in each committee.
            let joins = !leaves || members.len() <= 4 || chance.below(2) == 0;
            if leaves {
                members.remove(chance.below(members.len() as u64) as usize);
            }
            if joins {
                members.push(seats);
                seats += 1;
            }
            let lie = |who: &&usize| byzantine.iter().any(|(liar, _)| liar == *who);
            if members.iter().filter(lie).count() > (members.len() - 1) / 3 {
                break;
            }
            let crashes = (0..chance.below(3))
                .map(|_| {
                    (
                        chance.below(seats as u64) as usize,
                        chance.below(5) as i64 - 3,
                    )
                })
                .collect();
            all.push(Self {
                at: Duration::from_millis(chance.below(8_000)),
                members: members.clone(),
                same_key: chance.below(2) == 0,
                crashes,
            });
        }
        all
    }
}

impl Life {
    /// A life without faults.
    pub fn quiet(length: Duration, quality: Quality, validators: usize) -> Self {
        let links = Fault::Links(quality, vec![0; validators]);
        Self {
            length,
            late: Vec::new(),
            faults: vec![(Duration::ZERO, links)],
        }
    }

    fn draw(chance: &mut Chance, validators: usize) -> Self {
        let whole = vec![0; validators];
        let who = |chance: &mut Chance| chance.below(validators as u64) as usize;
        let ms = Duration::from_millis;
        let quality = Quality::draw(chance);
        let mut life = Self::quiet(ms(FAULTS_MS + chance.below(4_000)), quality, validators);
        if chance.below(3) == 0 {
            let when = 2_000 + chance.below(FAULTS_MS - 4_000);
            life.late.push((who(chance), ms(when)));
        }
        for _ in 0..3 + chance.below(6) {
            let at = 500 + chance.below(FAULTS_MS - 1_000);
            let down = ms(100 + chance.below(5_000));
            match chance.below(8) {
                0 => {
                    let quality = Quality::draw(chance);
                    life.faults
                        .push((ms(at), Fault::Links(quality, whole.clone())));
                }
                1..=3 => {
                    let apart = 2 + chance.below(2);
                    let side = |_| u8::from(chance.below(apart) == 0);
                    let groups = (0..validators).map(side).collect();
                    let healed = ms(at) + down;
                    life.faults.push((ms(at), Fault::Links(quality, groups)));
                    life.faults
                        .push((healed, Fault::Links(quality, whole.clone())));
                }
                4 | 5 => {
                    let keeps = chance.below(2) == 0;
                    let fault = Fault::Crash(who(chance), down, keeps);
                    life.faults.push((ms(at), fault));
                }
                6 => {
                    let fault = Fault::Tear(who(chance), 1 + chance.below(40), down);
                    life.faults.push((ms(at), fault));
                }
                _ => {
                    // Everybody at nearly the same moment.
                    for who in 0..validators {
                        let fault = Fault::Crash(who, down, chance.below(2) == 0);
                        life.faults.push((ms(at + chance.below(300)), fault));
                    }
                }
            }
        }
        life.faults.sort_by_key(|(at, _)| *at);
        life
    }
}

impl fmt::Display for Plan {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} validators", self.validators)?;
        for (who, lie) in &self.byzantine {
            write!(f, ", {who} {lie:?}")?;
        }
        for next in &self.successions {
            let key = if next.same_key { "same" } else { "new" };
            write!(f, "; then {:?} under a {key} key", next.members)?;
        }
        for (n, life) in self.lives.iter().enumerate() {
            let count = |wanted: fn(&Fault) -> bool| {
                life.faults
                    .iter()
                    .filter(|(_, fault)| wanted(fault))
                    .count()
            };
            let cut = if n > 0 { "; power cut" } else { "" };
            write!(
                f,
                "{cut}; {} late, {} changes of links, {} crashes, {} torn",
                life.late.len(),
                count(|fault| matches!(fault, Fault::Links(..))) - 1,
                count(|fault| matches!(fault, Fault::Crash(..))),
                count(|fault| matches!(fault, Fault::Tear(..))),
            )?;
        }
        Ok(())
    }
}
