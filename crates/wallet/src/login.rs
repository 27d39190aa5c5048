//! Signing in at a service: the wallet and a small browser play the person's part.
//!
//! The service is an ordinary OpenID Connect relying party. Its login page leads to its gate;
//! the gate hands out a wallet link; the wallet answers; the browser goes on where the gate says,
//! until the service has its session. Who the service thinks came in is asked of the service.

use crate::authorities::ForOnce;
use crate::error::CliError;
use crate::http::{Browser, Http, address, below, read_json};
use crate::ledger::Ledger;
use crate::present::{self, Consent, How};
use crate::wallet::Wallet;
use crate::watch;
use realdid_exchange::vp;
use serde::Deserialize;
use serde_json::{Value, json};
use url::Url;

/// What a gate answers to a wallet at its authorisation endpoint.
#[derive(Deserialize)]
struct LoginStart {
    wallet_link: String,
    /// What stands at the link, which spares a wallet the way there.
    request: Option<String>,
    continue_uri: String,
}

#[derive(Deserialize)]
struct Me {
    sub: String,
}

/// Signs in at `service` and answers the command's JSON.
pub async fn login(
    wallet: &mut Wallet,
    http: &Http,
    service: &str,
    consent: &Consent,
) -> Result<Value, CliError> {
    let base = address(service)?;
    let mut ledger = Ledger::of(&wallet.content)?;
    let mut browser = Browser::new(http.clone());

    let start = browser
        .open(&below(&base, "/login"), "application/json")
        .await?;
    let gate = start.url.clone();
    let start: LoginStart = read_json(&gate, &start.success()?)?;
    let link = &start.wallet_link;
    let request = match &start.request {
        Some(given) => present::examine_given(wallet, http, &mut ledger, link, given).await?,
        None => {
            let nobody = ForOnce::default();
            present::examine(wallet, http, &mut ledger, link, &nobody).await?
        }
    };
    // A website that a gate stands before is registered.
    if request.stranger.is_some() {
        return Err(vp::RequestRefused::ClientIdPrefix.into());
    }
    // A page that hands out another gate's link wants this person to answer for somebody else.
    if address(&request.response_uri)?.origin() != gate.origin() {
        return Err(CliError::new(
            "login.other_gate",
            "the answer goes to the gate that the service led to",
            "service",
            "do not sign in there",
        ));
    }
    present::announce(wallet, &ledger, &request, None);
    if !present::consented(&request, consent, present::ask_person) {
        return Err(present::decline(http, &request).await?);
    }
    // What the last look at the person's tag has shown (P6): no node is asked about it now.
    watch::repeat(wallet);
    let how = How {
        long_lived: consent.long_lived,
        organisation: None,
    };
    let shown = present::answer(wallet, http, &mut ledger, &request, how).await?;

    let next = match shown.redirect {
        Some(url) => url,
        None => gate
            .join(&start.continue_uri)
            .map_err(|_| no_session(&base))?,
    };
    // A page is what ends a login, but refusals are wanted by their names.
    let page = browser
        .open(&next, "application/json, text/html;q=0.9")
        .await?;
    page.success()?;
    let me = browser
        .open(&below(&base, "/me"), "application/json")
        .await?;
    let me_url = me.url.clone();
    if me.status == 401 {
        return Err(no_session(&base));
    }
    let me: Me = read_json(&me_url, &me.success()?)?;
    Ok(json!({
        "service": service,
        "did": shown.did.map(|did| did.to_string()),
        "subject": me.sub,
        "realPassEpoch": shown.pass_epoch,
        "sessionCookie": session_cookie(&browser, &base),
    }))
}

/// The service's session among its cookies: the one that is named so, else all of them.
fn session_cookie(browser: &Browser, base: &Url) -> String {
    let cookies = browser.cookies(&base.origin());
    let named = |pair: &&str| {
        pair.split('=')
            .next()
            .is_some_and(|name| name.ends_with("session"))
    };
    match cookies.split("; ").find(named) {
        Some(session) => session.to_owned(),
        None => cookies,
    }
}

fn no_session(base: &Url) -> CliError {
    CliError::new(
        "login.no_session",
        "the service opens a session for the person whom its gate has signed in",
        "service",
        &format!(
            "look at the log of {} and of its gate",
            base.host_str().unwrap_or("the service")
        ),
    )
}
