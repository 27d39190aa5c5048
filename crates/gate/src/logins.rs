//! Logins that are under way: bounded, in memory, gone after minutes. The gate has no other record
//! of people, and no database.
//!
//! A login has three secrets for three parties. The *id* is in the QR code: it lets a wallet fetch
//! the request and answer it. The *cookie* is the browser's that started it. The *response code*
//! goes to the wallet that answered. Only cookie and response code together finish a login (see
//! [`Logins::finish`]).

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use realdid_exchange::jwe::DecryptionKey;
use realdid_exchange::oidc::{AuthorizationRequest, Client, Login};
use sha2::{Digest as _, Sha256};
use subtle::ConstantTimeEq as _;

use crate::refusal::Refusal;

/// The most logins under way at a time; some kilobytes each.
const MAX_LOGINS: usize = 20_000;
/// How many wrong answers, or wrong codes, one login takes.
const MAX_TRIES: u32 = 5;
/// Letters that nobody mistakes for another when they read them off a screen.
const CODE_LETTERS: &[u8; 32] = b"23456789ABCDEFGHJKLMNPQRSTUVWXYZ";

/// Hands out and takes back logins.
pub(crate) struct Logins {
    open: Mutex<BTreeMap<String, Open>>,
}

struct Open {
    start: Arc<Start>,
    cookie_hash: [u8; 32],
    tries: u32,
    phase: Phase,
}

/// What stands at the start of a login and does not change.
pub(crate) struct Start {
    pub request: AuthorizationRequest,
    pub client: Client,
    pub nonce: String,
    pub state: String,
    /// This login's own key for what the wallet shows; it goes with the login.
    pub encrypt_to: Option<DecryptionKey>,
    /// Unix seconds.
    pub expires_s: u64,
}

enum Phase {
    /// For a wallet.
    Waiting,
    /// For the browser to come back.
    Answered {
        outcome: Outcome,
        code_hash: [u8; 32],
        short_code: String,
    },
}

/// How a wallet answered.
pub(crate) enum Outcome {
    Verified(Box<Login>),
    Declined,
}

/// What is given to the browser at the start.
pub(crate) struct Started {
    pub id: String,
    pub cookie: String,
}

/// What is given to the wallet that answered.
pub(crate) struct Answered {
    pub response_code: String,
    /// The same for a person to type, where wallet and browser are on two devices.
    pub short_code: String,
}

/// A login whose browser came back.
pub(crate) struct Finished {
    pub start: Arc<Start>,
    pub outcome: Outcome,
}

/// Whether a wallet has answered yet.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Progress {
    Waiting,
    Answered,
}

impl Logins {
    pub fn new() -> Self {
        Self {
            open: Mutex::new(BTreeMap::new()),
        }
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<String, Open>> {
        // Each change is one insert or remove: a poisoned map is still a sound one.
        self.open.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Starts a login. `secrets` are fresh random bytes.
    pub fn start(
        &self,
        request: AuthorizationRequest,
        client: Client,
        encrypt_to: Option<DecryptionKey>,
        secrets: [[u8; 32]; 4],
        now_s: u64,
        life_s: u64,
    ) -> Result<Started, Refusal> {
        let [id, cookie, nonce, state] = secrets;
        // The id stands in a QR code, where each byte counts; 128 bits are beyond guessing.
        let id = URL_SAFE_NO_PAD.encode(&id[..16]);
        let cookie = URL_SAFE_NO_PAD.encode(cookie);
        let start = Start {
            request,
            client,
            nonce: URL_SAFE_NO_PAD.encode(nonce),
            state: URL_SAFE_NO_PAD.encode(&state[..16]),
            encrypt_to,
            expires_s: now_s + life_s,
        };
        let mut open = self.lock();
        if open.len() >= MAX_LOGINS {
            open.retain(|_, login| login.start.expires_s > now_s);
        }
        if open.len() >= MAX_LOGINS {
            return Err(Refusal::LOGIN_BUSY);
        }
        let cookie_hash = digest(&cookie);
        open.insert(
            id.clone(),
            Open {
                start: Arc::new(start),
                cookie_hash,
                tries: 0,
                phase: Phase::Waiting,
            },
        );
        Ok(Started { id, cookie })
    }

    /// Drops what has expired. Claims that nobody came back for must not stay.
    pub fn sweep(&self, now_s: u64) {
        self.lock().retain(|_, login| login.start.expires_s > now_s);
    }

    /// The login that waits for a wallet.
    pub fn waiting(&self, id: &str, now_s: u64) -> Result<Arc<Start>, Refusal> {
        let mut open = self.lock();
        let login = find(&mut open, id, now_s)?;
        match login.phase {
            Phase::Waiting if login.tries >= MAX_TRIES => Err(Refusal::LOGIN_TRIES),
            Phase::Waiting => Ok(Arc::clone(&login.start)),
            Phase::Answered { .. } => Err(Refusal::REPLAYED),
        }
    }

    /// Counts an answer that was refused; the login stays open for another.
    pub fn failed(&self, id: &str) {
        if let Some(login) = self.lock().get_mut(id) {
            login.tries += 1;
        }
    }

    /// Records the one answer that a login takes. A second, even of the same bytes, is refused:
    /// this is what makes a nonce single-use.
    pub fn answer(
        &self,
        id: &str,
        outcome: Outcome,
        secret: &[u8; 32],
        now_s: u64,
    ) -> Result<Answered, Refusal> {
        let mut open = self.lock();
        let login = find(&mut open, id, now_s)?;
        if matches!(login.phase, Phase::Answered { .. }) {
            return Err(Refusal::REPLAYED);
        }
        let response_code = URL_SAFE_NO_PAD.encode(secret);
        let short_code = short_code(secret);
        login.tries = 0;
        login.phase = Phase::Answered {
            outcome,
            code_hash: digest(&response_code),
            short_code: short_code.clone(),
        };
        Ok(Answered {
            response_code,
            short_code,
        })
    }

    /// How far a login is, for the browser that started it.
    pub fn progress(
        &self,
        id: &str,
        cookie: Option<&str>,
        now_s: u64,
    ) -> Result<(Arc<Start>, Progress), Refusal> {
        let mut open = self.lock();
        let login = find(&mut open, id, now_s)?;
        owns(login, cookie)?;
        let progress = match login.phase {
            Phase::Waiting => Progress::Waiting,
            Phase::Answered { .. } => Progress::Answered,
        };
        Ok((Arc::clone(&login.start), progress))
    }

    /// Finishes a login, once: the browser that started it comes back with the code that the
    /// wallet was given.
    ///
    /// Both are needed. Without the cookie, an attacker could answer a login with their own wallet
    /// and lead a victim's browser to the result, who would then act in the attacker's account.
    /// Without the code, an attacker could start a login, show its QR code to a victim as if it
    /// were for something else, and be signed in as the victim by their answer: the code goes to
    /// the victim's device only (OpenID4VP 1.0 §13.3, session fixation). On one device the wallet
    /// opens the address with the code; across two, the person types the short form of it, into
    /// the page that they started from themselves.
    pub fn finish(
        &self,
        id: &str,
        cookie: Option<&str>,
        code: &str,
        now_s: u64,
    ) -> Result<Finished, Refusal> {
        let mut open = self.lock();
        let login = find(&mut open, id, now_s)?;
        owns(login, cookie)?;
        let Phase::Answered {
            code_hash,
            short_code,
            ..
        } = &login.phase
        else {
            return Err(Refusal::CODE_WRONG);
        };
        let typed: String = code
            .chars()
            .filter(char::is_ascii_alphanumeric)
            .map(|c| c.to_ascii_uppercase())
            .collect();
        let right = digest(code).ct_eq(code_hash) | digest(&typed).ct_eq(&digest(short_code));
        if !bool::from(right) {
            login.tries += 1;
            if login.tries >= MAX_TRIES {
                open.remove(id);
                return Err(Refusal::LOGIN_TRIES);
            }
            return Err(Refusal::CODE_WRONG);
        }
        match open.remove(id) {
            Some(Open {
                start,
                phase: Phase::Answered { outcome, .. },
                ..
            }) => Ok(Finished { start, outcome }),
            _ => Err(Refusal::LOGIN_UNKNOWN),
        }
    }
}

fn find<'a>(
    open: &'a mut BTreeMap<String, Open>,
    id: &str,
    now_s: u64,
) -> Result<&'a mut Open, Refusal> {
    open.get_mut(id)
        .filter(|login| login.start.expires_s > now_s)
        .ok_or(Refusal::LOGIN_UNKNOWN)
}

fn owns(login: &Open, cookie: Option<&str>) -> Result<(), Refusal> {
    let given = digest(cookie.unwrap_or_default());
    if bool::from(given.ct_eq(&login.cookie_hash)) {
        Ok(())
    } else {
        Err(Refusal::OTHER_BROWSER)
    }
}

/// Eight letters, 40 bits: with five tries and some minutes beyond guessing. Taken from a hash, so
/// that they say nothing about the long code.
fn short_code(secret: &[u8; 32]) -> String {
    let hash = Sha256::digest([b"short".as_slice(), secret].concat());
    hash.iter()
        .take(8)
        .map(|byte| char::from(CODE_LETTERS[usize::from(byte % 32)]))
        .collect()
}

fn digest(text: &str) -> [u8; 32] {
    Sha256::digest(text.as_bytes()).into()
}
