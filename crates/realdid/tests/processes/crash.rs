//! Stopping and killing: nothing acknowledged is lost.

use crate::nation::Nation;

#[test]
fn p10_after_kill_and_after_stop_nothing_acknowledged_is_lost() {
    let mut nation = Nation::start();
    let residents = nation.residents();
    let enrolled = nation.enrol("a", &residents[0].1).done();
    let first = nation.login("a", 0).done();
    let subject = nation.me(0, &first)["sub"].clone();
    let did = first["did"].as_str().unwrap().to_owned();
    let anchored = nation.wallet("a", &["did", "anchor", &did]).done();
    let tag = enrolled["personTag"].as_str().unwrap().to_owned();

    for signal in ["-KILL", "-TERM", "-INT", "-KILL"] {
        nation.stop(signal);
        nation.up();
        let login = nation.login("a", 0).done();
        assert_eq!(nation.me(0, &login)["sub"], subject, "after {signal}");
        let resolved = nation.run(&["resolve", &did]).done();
        assert_eq!(
            resolved["didDocumentMetadata"]["anchored"], true,
            "after {signal}"
        );
        let receipt = crate::nation::get(
            &format!(
                "{}/v1/operations/{}",
                nation.url("node"),
                anchored["hash"].as_str().unwrap()
            ),
            &[],
        );
        assert_eq!(receipt.0, 200, "{}", receipt.1);
        let shown = nation.wallet("a", &["show"]).done();
        assert!(shown.to_string().contains(&tag));
    }
}

#[test]
fn p10_a_node_killed_at_any_moment_comes_back_with_all_it_acknowledged() {
    let mut nation = Nation::start();
    let residents = nation.residents();
    nation.enrol("a", &residents[5].1).done();
    let mut anchored = Vec::new();
    for round in 0..3 {
        let made = nation.wallet("a", &["did", "new"]).done();
        let did = made["did"].as_str().unwrap().to_owned();
        let change = nation.wallet("a", &["did", "anchor", &did]).done();
        assert!(change["height"].as_u64().unwrap() > 0);
        anchored.push(did);
        // straight after the acknowledgement, at another point of the slot each time
        std::thread::sleep(std::time::Duration::from_millis(round * 370));
        nation.kill_part("node-0", "-KILL");
        nation.stop("-KILL");
        nation.up();
        for did in &anchored {
            let resolved = nation.run(&["resolve", did]).done();
            assert_eq!(resolved["didResolutionMetadata"]["verified"], true);
        }
    }
}
