//! A whole site with "Sign in with RealDID". Its address and the provider come from the environment:
//! `LISTEN`, and those of [`SignInConfig::from_env`].

use axum::{Router, routing::get};
use realdid_sign_in::{SignIn, SignInConfig, Visitor};

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let sign_in = SignIn::new(SignInConfig::from_env()?)?;
    let home = async |visitor: Option<Visitor>| match visitor {
        Some(visitor) => format!("Hello, {}", visitor.sub),
        None => "Nobody is signed in. Go to /login".to_owned(),
    };
    let site = sign_in.protect(Router::new().route("/", get(home)));
    let listener = tokio::net::TcpListener::bind(std::env::var("LISTEN")?).await?;
    Ok(axum::serve(listener, site).await?)
}
