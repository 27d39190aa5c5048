//! Being written.
use crate::{cli::BenchArgs, fail::Fail};
use serde_json::Value;

pub async fn run(_args: BenchArgs) -> Result<Option<Value>, Fail> {
    Ok(None)
}
