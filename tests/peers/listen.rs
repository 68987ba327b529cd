//! A listener whose address comes later, as a virtual one does on the node that takes over.
//!
//! In a network namespace of its own, in which this very program is run again.

use std::process::Command;

use failover::{HealthCheckServer, ListenSettings, Log};

use crate::support::{command, get, need, run, said, skip, wait_until};

/// The variable that says that we are inside.
const INSIDE: &str = "FAILOVER_TEST_NAMESPACE";

const ADDRESS: &str = "192.0.2.77";

#[test]
fn an_address_that_comes_later_is_listened_on_then() {
    if std::env::var_os(INSIDE).is_some() {
        return inside();
    }
    let (Some(unshare), Some(_)) = (need("unshare"), need("ip")) else {
        return;
    };
    let made = run(command(&unshare).args(["-n", "true"]));
    if !made.status.success() {
        let why = String::from_utf8_lossy(&made.stderr).trim().to_string();
        return skip("network namespaces", &why);
    }
    let name = "listen::an_address_that_comes_later_is_listened_on_then";
    let mut again = command(&unshare);
    again
        .arg("-n")
        .arg(std::env::current_exe().unwrap())
        .args(["--exact", name, "--nocapture"])
        .env(INSIDE, "1");
    said(&mut again);
}

fn ip(words: &str) {
    said(Command::new("ip").args(words.split(' ')));
}

fn inside() {
    ip("link set lo up");
    let address = format!("{ADDRESS}:8080").parse().unwrap();
    let settings = || ListenSettings::new(address).unwrap();
    let server = HealthCheckServer::builder().log(Log::none());
    let server = server.listen(settings()).open().unwrap();
    server.add_component("up", || true).unwrap();
    let running = server.start().unwrap();
    assert_eq!(server.addresses(), []);
    assert!(get(address, "/up").is_err());

    ip(&format!("addr add {ADDRESS}/32 dev lo"));
    let answers = || get(address, "/up").map_err(|error| error.to_string());
    let answer = wait_until("the address to be listened on", &[], answers);
    assert!(answer.ends_with("OK"), "{answer}");
    assert_eq!(server.addresses(), [address]);

    // It goes and comes back, and nobody has to see to it.
    ip(&format!("addr del {ADDRESS}/32 dev lo"));
    assert!(get(address, "/up").is_err());
    ip(&format!("addr add {ADDRESS}/32 dev lo"));
    wait_until("the address to answer again", &[], answers);

    // One that was given up is not taken when it comes.
    let other = format!("{ADDRESS}:8081").parse().unwrap();
    ip(&format!("addr del {ADDRESS}/32 dev lo"));
    let waits = server.listen_also(ListenSettings::new(other).unwrap());
    assert_eq!(waits.unwrap(), None);
    assert!(server.close(other));
    ip(&format!("addr add {ADDRESS}/32 dev lo"));
    server.handle().shutdown();
    running.wait();
    assert!(get(address, "/up").is_err() && get(other, "/up").is_err());
}
