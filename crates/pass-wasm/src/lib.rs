//! RealPass in a wallet's page: what a page needs to show a credential (spec/realpass.md, rules B13
//! to B15), compiled to WebAssembly.
//!
//! The scheme is in `realdid-pass`, which forbids the unsafe code that bindings for a page consist
//! of: hence a crate of its own, with nothing in it but arguments and results. Errors reach the page
//! as the words of [`PassError`], which quote no value. `examples/chromium` runs it in a browser.

#![allow(
    unsafe_code,
    reason = "the bindings that wasm-bindgen generates; nothing written here is unsafe"
)]

use realdid_pass::{Context, Credential, PassError, PassKey, PseudonymSecrets, Seeded};
use wasm_bindgen::prelude::wasm_bindgen;
use zeroize::Zeroizing;

/// A person's credential, ready to be shown.
#[wasm_bindgen]
pub struct Holder {
    key: PassKey,
    credential: Credential,
}

#[wasm_bindgen]
impl Holder {
    /// Opens a credential: the issuer's public key with its terms and number of messages, the seed
    /// of the pseudonym secrets, and what `Credential::to_bytes` wrote. The signature is verified.
    #[wasm_bindgen(constructor)]
    pub fn open(
        key: &[u8],
        terms: &[u8],
        messages: usize,
        seed: Vec<u8>,
        credential: &[u8],
    ) -> Result<Self, String> {
        let seed = Zeroizing::new(seed);
        let seed = seed
            .as_slice()
            .try_into()
            .map_err(|_| words(PassError::Length))?;
        let key = key.try_into().map_err(|_| words(PassError::Length))?;
        let key = PassKey::new(key, terms, messages).map_err(words)?;
        let secrets = PseudonymSecrets::from_seed(seed);
        let credential = Credential::from_bytes(&key, &secrets, credential).map_err(words)?;
        Ok(Self { key, credential })
    }

    /// A presentation for the service with this registration id: the messages at `shown`
    /// (ascending), bound to `binding`.
    pub fn present(
        &self,
        service: &[u8],
        shown: &[usize],
        binding: &[u8],
    ) -> Result<Vec<u8>, String> {
        let context = Context::service(service);
        let presentation = self
            .credential
            .present(&mut from_browser()?, &self.key, &context, shown, binding)
            .map_err(words)?;
        Ok(presentation.to_bytes())
    }

    /// Who this person is at a service: 48 bytes.
    pub fn pseudonym(&self, service: &[u8]) -> Result<Vec<u8>, String> {
        let pseudonym = self.credential.pseudonym(&Context::service(service));
        Ok(pseudonym.map_err(words)?.0.to_vec())
    }
}

fn words(error: PassError) -> String {
    error.to_string()
}

/// The browser's randomness, asked for beforehand so that its failure is an answer and no panic.
fn from_browser() -> Result<Seeded, String> {
    let mut bytes = [0; 32];
    getrandom::fill(&mut bytes).map_err(|_| "the browser gives no random bytes".to_owned())?;
    Ok(Seeded::new(bytes))
}
