//! What the service remembers between requests: logins under way and signed-in visitors, each under
//! a random id that only the visitor's cookie holds. All of it in memory, bounded, and gone after a
//! restart, as a demo may.

use std::collections::{HashMap, VecDeque};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;

/// An unguessable id of 256 bits, in base64url.
pub fn random_id() -> Result<String, getrandom::Error> {
    let mut bytes = [0u8; 32];
    getrandom::fill(&mut bytes)?;
    Ok(URL_SAFE_NO_PAD.encode(bytes))
}

/// Values under ids, each for a limited time; when full, the oldest makes room.
pub struct Memory<T> {
    inner: Mutex<Inner<T>>,
    lifetime: Duration,
    capacity: usize,
}

struct Inner<T> {
    values: HashMap<String, (Instant, T)>,
    /// Ids in the order of their creation; ids already removed may linger until they reach the front.
    order: VecDeque<String>,
}

impl<T: Clone> Memory<T> {
    pub fn new(lifetime: Duration, capacity: usize) -> Self {
        Self {
            inner: Mutex::new(Inner {
                values: HashMap::new(),
                order: VecDeque::new(),
            }),
            lifetime,
            capacity,
        }
    }

    pub fn put(&self, id: String, value: T, now: Instant) {
        let mut inner = self.lock();
        while let Some(oldest) = inner.order.front() {
            let keep = inner.values.get(oldest).is_some_and(|(since, _)| {
                inner.order.len() < self.capacity && now.duration_since(*since) < self.lifetime
            });
            if keep {
                break;
            }
            if let Some(oldest) = inner.order.pop_front() {
                inner.values.remove(&oldest);
            }
        }
        inner.order.push_back(id.clone());
        inner.values.insert(id, (now, value));
    }

    pub fn look(&self, id: &str, now: Instant) -> Option<T> {
        let inner = self.lock();
        let (since, value) = inner.values.get(id)?;
        (now.duration_since(*since) < self.lifetime).then(|| value.clone())
    }

    /// Looks and forgets: whoever takes it, nobody takes it again.
    pub fn take(&self, id: &str, now: Instant) -> Option<T> {
        let (since, value) = self.lock().values.remove(id)?;
        (now.duration_since(since) < self.lifetime).then_some(value)
    }

    pub fn len(&self) -> usize {
        self.lock().values.len()
    }

    /// A panic elsewhere leaves the maps whole: each change is one insertion or removal.
    fn lock(&self) -> MutexGuard<'_, Inner<T>> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_are_long_and_differ() {
        let (one, two) = (random_id().unwrap(), random_id().unwrap());
        assert_eq!(one.len(), 43);
        assert_ne!(one, two);
    }

    #[test]
    fn a_value_is_taken_once() {
        let memory = Memory::new(Duration::from_secs(60), 10);
        let now = Instant::now();
        memory.put("a".to_owned(), 1, now);
        assert_eq!(memory.look("a", now), Some(1));
        assert_eq!(memory.take("a", now), Some(1));
        assert_eq!(memory.take("a", now), None);
        assert_eq!(memory.look("b", now), None);
    }

    #[test]
    fn values_expire() {
        let memory = Memory::new(Duration::from_secs(60), 10);
        let now = Instant::now();
        memory.put("a".to_owned(), 1, now);
        let later = now + Duration::from_secs(60);
        assert_eq!(memory.look("a", later), None);
        memory.put("b".to_owned(), 2, later);
        assert_eq!(memory.len(), 1);
    }

    #[test]
    fn the_oldest_makes_room() {
        let memory = Memory::new(Duration::from_secs(60), 3);
        let now = Instant::now();
        for i in 0..100 {
            memory.put(format!("{i}"), i, now);
            if i % 2 == 0 {
                memory.take(&format!("{i}"), now);
            }
        }
        assert!(memory.len() <= 3);
        assert_eq!(memory.look("99", now), Some(99));
        assert!(memory.lock().order.len() <= 3);
    }
}
