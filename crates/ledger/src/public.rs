//! What stands on the ledger for everybody to hold against: issuance batches, status lists, and names that
//! are shown in public (spec/operations.md, rules B1, B2, W1 to W3).

use crate::registry::{Asked, Outcome, acting_issuer, spend_record};
use crate::state::{Read, Records};
use realdid_core::did::commitment;
use realdid_core::hash::Hash32;
use realdid_core::operation::{AnchorBatch, PublishList, Show};
use realdid_core::rule::Rule;
use realdid_core::state::{
    Batch, Display, DisplayStatus, KeyStatus, KeyUse, ReasonCode, Service, Standing, StatusList,
    batch_key, display_key, service_key, status_list_key,
};

/// B1: an issuer commits to credentials that an active key of its own has signed. It costs one of
/// the records that the issuer may pay for. After a compromise since height h, what is in a batch
/// of a height below h stands (P7).
pub(crate) fn batch<R: Read>(
    asked: Asked<'_>,
    anchored: &AnchorBatch,
    records: &mut Records<R>,
) -> Outcome<(), R::Error> {
    let issuer = rule!(acting_issuer(asked, &anchored.issuer, records)?);
    let signs = issuer.keys.iter().any(|key| {
        key.id() == anchored.key
            && key.status == KeyStatus::Active
            && matches!(key.usage, KeyUse::Pid | KeyUse::Registration)
    });
    if !signs {
        return Ok(Err(Rule::IssuerKey));
    }
    if anchored.count == 0 {
        return Ok(Err(Rule::Shape));
    }
    let key = batch_key(asked.hash(), &anchored.issuer, &anchored.root);
    // The first height counts: nobody moves it.
    if records.bytes(&key)?.is_some() {
        return Ok(Err(Rule::BatchExists));
    }
    rule!(spend_record(asked, (&anchored.issuer, &issuer), records)?);
    let batch = Batch {
        key: anchored.key,
        count: anchored.count,
        height: asked.now.height,
    };
    records.put(key, &batch);
    Ok(Ok(()))
}

/// B2: an issuer says which version of a status list holds. A list costs one of the records that the
/// issuer may pay for, and its later versions nothing, as they take the place of it.
pub(crate) fn status_list<R: Read>(
    asked: Asked<'_>,
    published: &PublishList,
    records: &mut Records<R>,
) -> Outcome<(), R::Error> {
    let issuer = rule!(acting_issuer(asked, &published.issuer, records)?);
    let key = status_list_key(asked.hash(), &published.issuer, &published.list);
    let known: Option<StatusList> = records.get(&key)?;
    let next = known
        .as_ref()
        .map_or(0, |known| known.seq.saturating_add(1));
    if published.seq != next {
        return Ok(Err(Rule::Sequence));
    }
    if known.is_none() {
        rule!(spend_record(asked, (&published.issuer, &issuer), records)?);
    }
    let list = StatusList {
        seq: published.seq,
        digest: published.digest,
        height: asked.now.height,
    };
    records.put(key, &list);
    Ok(Ok(()))
}

/// W1: the registrar of an active service puts a name's digest on the ledger, for one of the
/// records that it may pay for.
pub(crate) fn display<R: Read>(
    asked: Asked<'_>,
    show: &Show,
    records: &mut Records<R>,
) -> Outcome<(), R::Error> {
    let issuer = rule!(acting_issuer(asked, &show.issuer, records)?);
    let service: Option<Service> = records.get(&service_key(asked.hash(), &show.service))?;
    match service {
        None => return Ok(Err(Rule::ServiceUnknown)),
        Some(service) if service.issuer != show.issuer => return Ok(Err(Rule::Signer)),
        Some(service) if service.standing != Standing::Active => {
            return Ok(Err(Rule::ServiceSuspended));
        }
        Some(_) => {}
    }
    let key = display_key(asked.hash(), &show.digest);
    if records.bytes(&key)?.is_some() {
        return Ok(Err(Rule::DisplayExists));
    }
    rule!(spend_record(asked, (&show.issuer, &issuer), records)?);
    let display = Display {
        service: show.service,
        issuer: show.issuer,
        withdrawal: show.withdrawal,
        status: DisplayStatus::Active,
        reason: ReasonCode::None,
        height: asked.now.height,
    };
    records.put(key, &display);
    Ok(Ok(()))
}

/// W2: the person withdraws by the key that the display commits to, whatever has become of the
/// registrar; the registrar withdraws while it acts. W3: for good, so nothing is played again.
pub(crate) fn withdraw<R: Read>(
    asked: Asked<'_>,
    digest: &Hash32,
    reason: ReasonCode,
    records: &mut Records<R>,
) -> Outcome<(), R::Error> {
    let key = display_key(asked.hash(), digest);
    let Some(display) = records.get::<Display>(&key)? else {
        return Ok(Err(Rule::DisplayUnknown));
    };
    if commitment(asked.by) != display.withdrawal {
        rule!(acting_issuer(asked, &display.issuer, records)?);
    }
    if display.status == DisplayStatus::Withdrawn {
        return Ok(Err(Rule::DisplayWithdrawn));
    }
    let display = Display {
        status: DisplayStatus::Withdrawn,
        reason,
        height: asked.now.height,
        ..display
    };
    records.put(key, &display);
    Ok(Ok(()))
}
