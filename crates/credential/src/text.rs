//! What a text in a credential may be: bounded, and nothing that hides in it or reorders what is shown around it.

/// The longest text of a claim, in bytes.
pub const MAX_TEXT_LEN: usize = 256;

/// Whether a text fits into a claim: 1 to 256 bytes, no control characters.
pub(crate) fn is_text(text: &str) -> bool {
    (1..=MAX_TEXT_LEN).contains(&text.len()) && !text.chars().any(char::is_control)
}

/// Whether it has the form of an ISO 3166-1 alpha-2 code.
pub(crate) fn is_country(code: &str) -> bool {
    code.len() == 2 && code.bytes().all(|b| b.is_ascii_uppercase())
}

/// Characters that take no room, break lines, or turn the direction of others around.
pub fn is_invisible(c: char) -> bool {
    matches!(c, '\u{ad}' | '\u{61c}' | '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{206f}' | '\u{feff}')
}
