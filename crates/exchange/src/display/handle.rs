//! Which handles a name may stand beside (spec/displays.md, rule Y1).
//!
//! A badge vouches for a handle, so a handle that people mistake for another one would lend them its
//! name. Two rules keep them apart: the characters are of one small script without doubles of
//! another (no Cyrillic `а`, no fullwidth or zero-width ones), and within one gate no two handles with
//! displays have the same [`Handle::skeleton`].

use super::DisplayError;

/// The most characters of a handle.
pub const MAX_HANDLE_CHARS: usize = 32;

/// A handle in its one spelling.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Handle(String);

/// The unified ideographs of the basic plane. Radicals and compatibility forms look the same, and are not
/// among them.
pub fn is_han(c: char) -> bool {
    ('\u{4e00}'..='\u{9fff}').contains(&c)
}

impl Handle {
    /// Reads a handle; there is no other spelling of it that would be accepted too.
    pub fn parse(text: &str) -> Result<Self, DisplayError> {
        let refused = DisplayError::HandleForm;
        if text.len() > 4 * MAX_HANDLE_CHARS
            || !(1..=MAX_HANDLE_CHARS).contains(&text.chars().count())
        {
            return Err(refused);
        }
        let han = text.chars().any(is_han);
        let letter = |c: char| {
            if han {
                is_han(c)
            } else {
                c.is_ascii_lowercase()
            }
        };
        let mark = |c: char| !han && matches!(c, '.' | '_' | '-');
        let known = |c: char| letter(c) || c.is_ascii_digit() || mark(c);
        let mut around = text.chars().zip(text.chars().skip(1));
        let ends = [text.chars().next(), text.chars().next_back()];
        let sound = text.chars().all(known)
            && text.chars().any(letter)
            && !ends.into_iter().flatten().any(mark)
            && !around.any(|(one, next)| mark(one) && mark(next));
        if sound {
            Ok(Self(text.to_owned()))
        } else {
            Err(refused)
        }
    }

    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// What a hurried reader sees: characters that pass for each other become one, marks go. Two
    /// handles with the same skeleton are look-alikes.
    pub fn skeleton(&self) -> String {
        let plain: String = self
            .0
            .chars()
            .filter(|c| !matches!(c, '.' | '_' | '-'))
            .map(|c| match c {
                '1' | 'i' | 'j' => 'l',
                '0' => 'o',
                '5' => 's',
                '2' => 'z',
                // Han characters that differ by the length of one stroke.
                '\u{672b}' => '\u{672a}',
                '\u{58eb}' => '\u{571f}',
                '\u{66f0}' => '\u{65e5}',
                other => other,
            })
            .collect();
        plain
            .replace("rn", "m")
            .replace("vv", "w")
            .replace("cl", "d")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_handle_is_of_one_script_and_has_one_spelling() {
        for good in ["a", "wei.li", "wei_li-2", "王伟", "王伟88", "x9"] {
            assert_eq!(
                Handle::parse(good).map(|h| h.as_str().to_owned()),
                Ok(good.to_owned())
            );
        }
        let long = "a".repeat(33);
        for bad in [
            "",
            &long,
            "Wei",
            "wei li",
            "w\u{435}i",
            "we\u{301}i",
            "wei\u{200b}",
            "ｗｅｉ",
            "王wei",
            "王.伟",
            "\u{2f00}王",
            "123",
            ".wei",
            "wei.",
            "wei..li",
            "wei._li",
            "wei\u{202e}il",
            "@wei",
            "王\u{3007}",
        ] {
            assert_eq!(Handle::parse(bad), Err(DisplayError::HandleForm), "{bad:?}");
        }
    }

    #[test]
    fn look_alikes_share_a_skeleton_and_others_do_not() {
        let skeleton = |text: &str| Handle::parse(text).unwrap().skeleton();
        for (one, other) in [
            ("paypal", "paypa1"),
            ("wei.li", "weili"),
            ("modern", "modem"),
            ("savvy", "sawy"),
            ("cloud", "c1oud"),
            ("clean", "dean"),
            ("mo0n", "moon"),
            ("王末", "王未"),
        ] {
            assert_eq!(skeleton(one), skeleton(other), "{one} {other}");
        }
        for (one, other) in [("wei", "mei"), ("wang", "wong"), ("王伟", "王维")] {
            assert_ne!(skeleton(one), skeleton(other), "{one} {other}");
        }
    }
}
