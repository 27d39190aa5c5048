//! The pages that people see. They work without scripts, by keyboard and with a screen reader; one script adds
//! the browser's Digital Credentials API to the page of a login.

use askama::Template;
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{Html, IntoResponse, Response};
use fast_qr::convert::{Builder as _, Shape, svg::SvgBuilder};
use fast_qr::{ECL, QRBuilder};

use realdid_credential::realpass::{self, Fact};

use crate::refusal::Refusal;

/// The style of all pages.
pub(crate) const STYLE: &str = include_str!("../assets/gate.css");
/// The script of a login's page.
pub(crate) const SCRIPT: &str = include_str!("../assets/browser.js");

#[derive(Template)]
#[template(path = "login.html")]
pub(crate) struct LoginPage<'a> {
    /// The organisation in the registration.
    pub organisation: &'a str,
    /// The website, from the gate's configuration.
    pub client: &'a str,
    pub purpose: &'a str,
    pub claims: Vec<Asked>,
    pub sandbox: bool,
    pub wallet_link: &'a str,
    pub qr_svg: String,
    /// The same for wallets that do not read the ledger, where they can answer.
    pub others: Vec<OtherWay>,
    /// Whether the browser may ask such a wallet.
    pub browser: bool,
    pub login_id: &'a str,
    pub answered: bool,
    /// The refusal of a typed code.
    pub problem: Option<Refusal>,
    pub cancel_uri: &'a str,
    pub minutes: u64,
    pub checkpoint_age_s: u64,
}

/// A way to a wallet that does not read the ledger.
pub(crate) struct OtherWay {
    /// What such a wallet knows the verifier by.
    pub by: &'static str,
    pub link: String,
    pub qr_svg: String,
}

/// A claim that a website asks for.
pub(crate) struct Asked {
    /// Its name in the registration.
    pub name: String,
    /// What it tells; empty where it has a name alone.
    pub words: String,
}

impl From<String> for Asked {
    fn from(name: String) -> Self {
        let words = words(&name);
        Self { name, words }
    }
}

/// What a claim tells, in words for the person.
fn words(name: &str) -> String {
    let known = match name.split_once('.') {
        Some((realpass::CLAIM, fact)) => {
            let mut facts = Fact::ALL.into_iter();
            let fact = facts.find(|known| known.name() == fact);
            fact.map_or("", Fact::words)
        }
        Some(("age_equal_or_over", years)) => {
            return format!("whether you are {years} or older");
        }
        Some(("address", "region")) => "your region of residence",
        _ => match name {
            "family_name" => "your family name",
            "given_name" => "your given name",
            "legal_name" => "the name of your organisation",
            "birthdate" => "your date of birth",
            "sex" => "your sex",
            "nationalities" => "your nationalities",
            "personal_administrative_number" => "your resident number",
            "issuing_authority" => "which authority verified you",
            "issuing_country" => "in which country you were verified",
            "assurance" => Fact::Assurance.words(),
            _ => "",
        },
    };
    known.to_owned()
}

#[derive(Template)]
#[template(path = "refused.html")]
pub(crate) struct RefusedPage<'a> {
    pub refusal: Refusal,
    /// Where to go back to, if that is known to be safe.
    pub back_uri: Option<&'a str>,
}

/// For somebody who signed out and came from nowhere.
#[derive(Template)]
#[template(path = "signed_out.html")]
pub(crate) struct SignedOutPage {}

/// For somebody who opens the gate's own address.
#[derive(Template)]
#[template(path = "front.html")]
pub(crate) struct FrontPage<'a> {
    /// The websites that people sign in at through this gate.
    pub clients: Vec<&'a str>,
}

/// The QR code of a wallet link, as an SVG without style or script.
pub(crate) fn qr_svg(link: &str) -> String {
    QRBuilder::new(link)
        .ecl(ECL::L)
        .build()
        .map(|code| {
            SvgBuilder::default()
                .shape(Shape::Square)
                .margin(4)
                .to_str(&code)
        })
        // Too long for a code: the link below it still works.
        .unwrap_or_default()
}

/// A page with the policy that it needs. A form's redirect is held against `form-action`, so the
/// website where a login ends must be in it.
pub(crate) fn html(
    page: &impl Template,
    status: StatusCode,
    redirect_uri: Option<&str>,
) -> Response {
    html_with(page, status, redirect_uri, "")
}

/// The same of a page that has a script of the gate's.
pub(crate) fn html_with_script(
    page: &impl Template,
    status: StatusCode,
    redirect_uri: Option<&str>,
) -> Response {
    html_with(
        page,
        status,
        redirect_uri,
        " script-src 'self'; connect-src 'self';",
    )
}

fn html_with(
    page: &impl Template,
    status: StatusCode,
    redirect_uri: Option<&str>,
    more: &str,
) -> Response {
    let Ok(body) = page.render() else {
        return Refusal::INTERNAL.problem().into_response();
    };
    let target = redirect_uri
        .and_then(|uri| url::Url::parse(uri).ok())
        .map(|uri| uri.origin().ascii_serialization())
        .unwrap_or_default();
    let policy = format!(
        "default-src 'none';{more} style-src 'self'; img-src 'self'; form-action 'self' {target}; \
         base-uri 'none'; frame-ancestors 'none'"
    );
    let mut response = (status, Html(body)).into_response();
    if let Ok(policy) = HeaderValue::from_str(&policy) {
        response
            .headers_mut()
            .insert(header::CONTENT_SECURITY_POLICY, policy);
    }
    response
}

#[cfg(test)]
mod tests {
    use super::*;
    use realdid_exchange::registration::Purpose;

    #[test]
    fn whatever_can_be_registered_is_told_in_words() {
        let facts = Fact::ALL.map(|fact| format!("{}.{}", realpass::CLAIM, fact.name()));
        let all = Purpose::ALL.into_iter().flat_map(Purpose::claims);
        let below = |claim: &&[&str]| match **claim {
            ["realpass"] => "realpass.adult".to_owned(),
            ["age_equal_or_over"] => "age_equal_or_over.18".to_owned(),
            ["address"] => "address.region".to_owned(),
            ref names => names.join("."),
        };
        for name in all.map(below).chain(facts) {
            assert!(!words(&name).is_empty(), "{name}");
        }
        assert_eq!(words("age_equal_or_over.21"), "whether you are 21 or older");
        assert_eq!(words("realpass.shoe_size"), "");
        assert_eq!(words("shoe_size"), "");
    }
}
