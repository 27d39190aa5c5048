//! What both sides make of one request, for the device to sign (spec/mdoc.md, M9).

use sha2::{Digest as _, Sha256};

use crate::cbor::Writer;

/// What a presentation is bound to: the request, as both sides know it (OpenID4VP 1.0 §B.2.6).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Transcript(Vec<u8>);

impl Transcript {
    /// For a response that is sent to `response_uri`. `thumbprint` is that of the key to which the
    /// response is encrypted, if it is.
    pub fn openid4vp(
        client_id: &str,
        nonce: &str,
        thumbprint: Option<&[u8; 32]>,
        response_uri: &str,
    ) -> Self {
        let info = Writer::new().array(4).text(client_id).text(nonce);
        let info = thumb(info, thumbprint).text(response_uri).done();
        Self::of("OpenID4VPHandover", &info)
    }

    /// For a response through a browser's Digital Credentials API.
    pub fn dc_api(origin: &str, nonce: &str, thumbprint: Option<&[u8; 32]>) -> Self {
        let info = Writer::new().array(3).text(origin).text(nonce);
        Self::of("OpenID4VPDCAPIHandover", &thumb(info, thumbprint).done())
    }

    fn of(handover: &str, info: &[u8]) -> Self {
        let written = Writer::new().array(3).null().null().array(2);
        Self(written.text(handover).bytes(&Sha256::digest(info)).done())
    }

    /// The bytes of `SessionTranscript`.
    pub fn as_bytes(&self) -> &[u8] {
        &self.0
    }

    /// `DeviceAuthenticationBytes` (ISO/IEC 18013-5 §9.1.3.4).
    pub(super) fn device_authentication(&self, doc_type: &str, name_spaces: &[u8]) -> Vec<u8> {
        let inner = Writer::new()
            .array(4)
            .text("DeviceAuthentication")
            .raw(&self.0)
            .text(doc_type)
            .raw(name_spaces)
            .done();
        Writer::new().encoded(&inner).done()
    }
}

fn thumb(written: Writer, thumbprint: Option<&[u8; 32]>) -> Writer {
    match thumbprint {
        Some(thumbprint) => written.bytes(thumbprint),
        None => written.null(),
    }
}
