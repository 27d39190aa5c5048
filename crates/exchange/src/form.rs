//! Forms and query strings (`application/x-www-form-urlencoded`, WHATWG URL §5.1).

use std::collections::BTreeMap;

use url::form_urlencoded;

/// The parameters of a form or a query; none where one stands twice.
///
/// An encrypted answer is kilobytes of base64url: what has nothing to decode is taken as it stands, and
/// not byte by byte.
pub(crate) fn parameters(text: &str) -> Option<BTreeMap<String, String>> {
    let mut parameters = BTreeMap::new();
    for part in text.split('&').filter(|part| !part.is_empty()) {
        let (name, value) = if part.contains('%') || part.contains('+') {
            let (name, value) = form_urlencoded::parse(part.as_bytes()).next()?;
            (name.into_owned(), value.into_owned())
        } else {
            let (name, value) = part.split_once('=').unwrap_or((part, ""));
            (name.to_owned(), value.to_owned())
        };
        if parameters.insert(name, value).is_some() {
            return None;
        }
    }
    Some(parameters)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn parameters_are_those_of_the_standard(text in "[a=&%+2é]{0,40}") {
            let all: Vec<_> = form_urlencoded::parse(text.as_bytes()).into_owned().collect();
            let each_once: BTreeMap<_, _> = all.iter().cloned().collect();
            let expected = (each_once.len() == all.len()).then_some(each_once);
            prop_assert_eq!(parameters(&text), expected);
        }
    }

    #[test]
    fn what_is_plain_and_what_is_not_stand_side_by_side() {
        let read = parameters("response=eyJ.a-_b&state=a%2Bb+c&&empty").expect("each stands once");
        let read: Vec<_> = read.iter().map(|(n, v)| (n.as_str(), v.as_str())).collect();
        assert_eq!(
            read,
            [("empty", ""), ("response", "eyJ.a-_b"), ("state", "a+b c")]
        );
        assert_eq!(parameters("state=1&st%61te=2"), None);
    }
}
