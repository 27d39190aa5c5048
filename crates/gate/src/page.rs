//! The pages that people see. They work without scripts, by keyboard and with a screen reader.

use askama::Template;
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{Html, IntoResponse, Response};
use fast_qr::convert::{Builder as _, Shape, svg::SvgBuilder};
use fast_qr::{ECL, QRBuilder};

use crate::refusal::Refusal;

/// The style of all pages.
pub(crate) const STYLE: &str = include_str!("../assets/gate.css");

#[derive(Template)]
#[template(path = "login.html")]
pub(crate) struct LoginPage<'a> {
    /// The organisation in the registration.
    pub organisation: &'a str,
    /// The website, from the gate's configuration.
    pub client: &'a str,
    pub purpose: &'a str,
    pub claims: Vec<String>,
    pub sandbox: bool,
    pub wallet_link: &'a str,
    pub qr_svg: String,
    pub login_id: &'a str,
    pub answered: bool,
    /// The refusal of a typed code.
    pub problem: Option<Refusal>,
    pub cancel_uri: &'a str,
    pub minutes: u64,
    pub checkpoint_age_s: u64,
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
    let Ok(body) = page.render() else {
        return Refusal::INTERNAL.problem().into_response();
    };
    let target = redirect_uri
        .and_then(|uri| url::Url::parse(uri).ok())
        .map(|uri| uri.origin().ascii_serialization())
        .unwrap_or_default();
    let policy = format!(
        "default-src 'none'; style-src 'self'; img-src 'self'; form-action 'self' {target}; \
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
