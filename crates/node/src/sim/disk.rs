//! A disk in memory whose power may go at any write: what was synced is safe, of what was not any
//! part may be there.

use crate::store::tables::Tables;
use crate::store::tests::Chance;
use redb::{Database, StorageBackend};
use std::io;
use std::sync::{Arc, Mutex};

/// What a disk writes as one.
const SECTOR: usize = 512;

/// Clones are the same disk.
#[derive(Debug, Clone)]
pub struct SimDisk(Arc<Mutex<Platter>>);

#[derive(Debug)]
struct Platter {
    /// What reads see.
    seen: Vec<u8>,
    /// What the last sync made safe.
    synced: Vec<u8>,
    /// What came since, in order.
    unsynced: Vec<Change>,
    /// How many more changes and syncs succeed before the power goes.
    fuse: Option<u64>,
    /// It says that it has synced, and has not.
    lies: bool,
    chance: u64,
}

#[derive(Debug, Clone)]
enum Change {
    Write(usize, Vec<u8>),
    Resize(usize),
}

impl SimDisk {
    pub fn empty(seed: u64, lies: bool) -> Self {
        Self::holding(Vec::new(), seed, lies)
    }

    fn holding(bytes: Vec<u8>, chance: u64, lies: bool) -> Self {
        Self(Arc::new(Mutex::new(Platter {
            seen: bytes.clone(),
            synced: bytes,
            unsynced: Vec::new(),
            fuse: None,
            lies,
            chance,
        })))
    }

    pub fn tables(&self) -> Tables {
        let below = self.clone();
        let opener = move || {
            Database::builder()
                .set_cache_size(1 << 20)
                .create_with_backend(below.clone())
        };
        Tables::with_opener(Box::new(opener)).unwrap()
    }

    /// The power goes after so many more writes.
    pub fn light_fuse(&self, writes: u64) {
        self.0.lock().unwrap().fuse = Some(writes);
    }

    /// Puts a fuse out that still burns.
    pub fn mend(&self) {
        self.0.lock().unwrap().fuse = None;
    }

    /// Whether the power has gone by the fuse.
    pub fn is_dead(&self) -> bool {
        self.0.lock().unwrap().fuse == Some(0)
    }

    /// Cuts the power. What comes back is another disk; whoever holds this one writes to nobody.
    pub fn cut(&self) -> Self {
        let platter = self.0.lock().unwrap();
        let mut chance = Chance(platter.chance);
        let mut left = platter.synced.clone();
        let there = if platter.lies {
            0
        } else {
            platter.unsynced.len()
        };
        for change in &platter.unsynced[..there] {
            match change {
                Change::Resize(length) if chance.below(2) == 0 => left.resize(*length, 0),
                Change::Resize(_) => {}
                Change::Write(at, bytes) => {
                    for (place, sector) in bytes.chunks(SECTOR).enumerate() {
                        if chance.below(2) == 0 {
                            put(&mut left, at + place * SECTOR, sector);
                        }
                    }
                }
            }
        }
        Self::holding(left, chance.next(), platter.lies)
    }
}

fn put(file: &mut Vec<u8>, at: usize, bytes: &[u8]) {
    if file.len() < at + bytes.len() {
        file.resize(at + bytes.len(), 0);
    }
    file[at..at + bytes.len()].copy_from_slice(bytes);
}

impl Platter {
    fn spend(&mut self) -> io::Result<()> {
        match &mut self.fuse {
            Some(0) => Err(io::Error::other("the power is gone")),
            Some(left) => {
                *left -= 1;
                if *left == 0 {
                    return Err(io::Error::other("the power goes"));
                }
                Ok(())
            }
            None => Ok(()),
        }
    }
}

impl StorageBackend for SimDisk {
    fn len(&self) -> io::Result<u64> {
        Ok(self.0.lock().unwrap().seen.len() as u64)
    }

    fn read(&self, offset: u64, out: &mut [u8]) -> io::Result<()> {
        let platter = self.0.lock().unwrap();
        let from = offset as usize;
        let found = platter.seen.get(from..from + out.len());
        out.copy_from_slice(found.ok_or(io::ErrorKind::UnexpectedEof)?);
        Ok(())
    }

    fn set_len(&self, length: u64) -> io::Result<()> {
        let mut platter = self.0.lock().unwrap();
        platter.unsynced.push(Change::Resize(length as usize));
        platter.spend()?;
        platter.seen.resize(length as usize, 0);
        Ok(())
    }

    fn sync_data(&self) -> io::Result<()> {
        let mut platter = self.0.lock().unwrap();
        platter.spend()?;
        if platter.lies {
            return Ok(());
        }
        let Platter {
            synced, unsynced, ..
        } = &mut *platter;
        for change in unsynced.drain(..) {
            match change {
                Change::Resize(length) => synced.resize(length, 0),
                Change::Write(at, bytes) => put(synced, at, &bytes),
            }
        }
        Ok(())
    }

    fn write(&self, offset: u64, data: &[u8]) -> io::Result<()> {
        let mut platter = self.0.lock().unwrap();
        let at = offset as usize;
        // A write in which the power goes may still have reached the disk in part.
        platter.unsynced.push(Change::Write(at, data.to_vec()));
        platter.spend()?;
        put(&mut platter.seen, at, data);
        Ok(())
    }
}
