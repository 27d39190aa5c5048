use super::*;
use crate::test_world::World;

/// One turn of the loop, and what the wallet holds and plans after it.
async fn turn_of(world: &World) -> (Kept, Vec<u64>, Option<Plan>) {
    let mut kept = Kept::default();
    let http = Http::new().unwrap();
    turn(world.dir.path(), &http, &mut kept).await.unwrap();
    let (wallet, _) = world.open();
    let passes = wallet.content.passes.as_ref().unwrap();
    let held = passes.held.iter().map(|held| held.epoch).collect();
    (kept, held, passes.plan)
}

/// Brings the planned moment to now.
fn hasten(world: &World) {
    let (mut wallet, _) = world.open();
    let plan = &mut wallet.passes().unwrap().plan;
    plan.as_mut().unwrap().at_ms = now_ms();
    wallet.save().unwrap();
}

#[tokio::test]
async fn p4_the_next_pass_is_fetched_at_the_planned_moment_and_not_before() {
    let world = World::new().await;
    world.authority.lock().unwrap().asked.clear();
    let epoch = world.epoch();
    let (mut wallet, _) = world.open();
    let source = wallet.passes().unwrap();
    // Somebody who holds nothing but was enrolled: the current epoch's, at once.
    assert!(source.held.is_empty());
    drop(wallet);
    let (kept, held, plan) = turn_of(&world).await;
    assert_eq!((kept.passes, held), (1, vec![epoch]));
    let plan = plan.unwrap();
    assert_eq!(plan.what, epoch + 1);
    assert!(plan.at_ms > now_ms());

    // Nothing is due. Neither time nor another look moves the moment.
    let (kept, _, same) = turn_of(&world).await;
    assert_eq!((kept, same), (Kept::default(), Some(plan)));
    assert_eq!(world.asked(), [epoch]);

    hasten(&world);
    let (kept, held, after) = turn_of(&world).await;
    assert_eq!((kept.passes, held), (1, vec![epoch, epoch + 1]));
    assert_eq!(after.unwrap().what, epoch + 2);
    assert_eq!(world.asked(), [epoch, epoch + 1]);
}

#[tokio::test]
async fn refusals_are_counted_and_failures_are_retried_later() {
    let world = World::new().await;
    turn_of(&world).await;
    hasten(&world);
    world.refuse(Some((
        400,
        json!({"error": "credential_request_denied", "code": "vci.denied"}),
    )));
    let (kept, held, plan) = turn_of(&world).await;
    assert_eq!((kept.passes, kept.failures, held.len()), (0, 1, 1));
    let plan = plan.unwrap();
    assert_eq!(plan.failures, 1);
    assert!(plan.at_ms > now_ms());
    let refusals = |world: &World| {
        let (wallet, _) = world.open();
        let passes = wallet.content.passes.unwrap();
        (passes.refused, passes.refusals.len())
    };
    assert_eq!(refusals(&world), (1, 1));

    // A server that fails says nothing about the person.
    hasten(&world);
    world.refuse(Some((503, json!({}))));
    let (kept, _, plan) = turn_of(&world).await;
    assert_eq!((kept.failures, plan.unwrap().failures), (1, 2));
    assert_eq!(refusals(&world), (1, 1));

    // What marks its holder is refused by the wallet, counted, and not stored.
    hasten(&world);
    world.refuse(Some((200, json!({"credentials": [], "serial": 7}))));
    let (kept, held, _) = turn_of(&world).await;
    assert_eq!((kept.failures, held.len()), (1, 1));
    assert_eq!(refusals(&world), (2, 2));
}

#[tokio::test]
async fn a_wallet_in_use_is_waited_for() {
    let world = World::new().await;
    let (wallet, _) = world.open();
    let mut kept = Kept::default();
    let http = Http::new().unwrap();
    let wait = turn(world.dir.path(), &http, &mut kept).await.unwrap();
    assert_eq!((kept, wait), (Kept::default(), Duration::from_secs(2)));
    assert!(world.asked().is_empty());
    drop(wallet);
    let done = keep(world.dir.path(), &http, true).await.unwrap();
    assert_eq!(done["passes"], 1);
}

/// On demand only where there is none for now, and with what the authority says.
#[tokio::test]
async fn a_login_asks_the_authority_only_where_there_is_no_pass_for_now() {
    let world = World::new().await;
    let http = Http::new().unwrap();
    let (mut wallet, mut ledger) = world.open();
    world.refuse(Some((503, json!({}))));
    let none = renew::for_now(&mut wallet, &http, &mut ledger).await;
    assert_eq!(none.unwrap_err().code, "pass.none");
    for code in ["vci.denied", "enrolment.suspended", "vci.pass_commitment"] {
        world.refuse(Some((400, json!({"error": "x", "code": code}))));
        let barred = renew::for_now(&mut wallet, &http, &mut ledger).await;
        assert_eq!(barred.unwrap_err().code, code);
    }
    assert_eq!(wallet.passes().unwrap().refused, 3);
    world.refuse(None);
    let held = renew::for_now(&mut wallet, &http, &mut ledger)
        .await
        .unwrap();
    assert_eq!(held.epoch, world.epoch());
    let asked = world.asked().len();
    world.refuse(Some((503, json!({}))));
    let again = renew::for_now(&mut wallet, &http, &mut ledger)
        .await
        .unwrap();
    assert_eq!(again, held);
    assert_eq!(world.asked().len(), asked, "nobody is asked");
    assert_eq!(
        wallet.passes().unwrap().plan,
        None,
        "a login draws no moment"
    );
}

#[tokio::test]
async fn who_asks_for_all_that_can_be_had_gets_this_epoch_and_the_next() {
    let world = World::new().await;
    let (mut wallet, mut ledger) = world.open();
    let http = Http::new().unwrap();
    renew::on_request(&mut wallet, &http, &mut ledger)
        .await
        .unwrap();
    let epoch = world.epoch();
    assert_eq!(world.asked(), [epoch, epoch + 1]);
    renew::on_request(&mut wallet, &http, &mut ledger)
        .await
        .unwrap();
    assert_eq!(world.asked().len(), 2, "what is held is not asked for");
}
