//! keepalived follows the files that the daemon writes: the two balancers of `examples/deploy/`,
//! each in a network namespace of its own, with that folder's keepalived.conf.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::deploy::text_of;
use crate::keepalived::{INTERFACE, Namespace, joined, start, view};
use crate::support::{Failover, Folder, Peer, need, program, wait_until};

/// The address that the two share.
const ADDRESS: &str = "10.99.0.103";

const MASTER: (&str, bool) = ("MASTER", true);
const BACKUP: (&str, bool) = ("BACKUP", false);
const FAULT: (&str, bool) = ("FAULT", false);

/// One of the two machines. What is well on it is a file that is there.
struct Node {
    // Dropped in this order: what runs in the namespace ends before it does.
    keepalived: Peer,
    daemon: Option<Failover>,
    space: Namespace,
    folder: Folder,
}

impl Node {
    fn start(name: &str, keepalived: &Path, priority: &str, space: Namespace) -> Node {
        let folder = Folder::new(name);
        for what in ["haproxy", "servers"] {
            folder.write(what, "");
        }
        let daemon = daemon(&space, "127.0.0.1:0", &folder);
        let text = text_of("keepalived.conf")
            .replace("/run/failover", folder.path().to_str().unwrap())
            .replace("router_id balancer1", &format!("router_id {name}"))
            .replace("priority 110", &format!("priority {priority}"))
            .replace("interface eth0", &format!("interface {INTERFACE}"))
            .replace("192.0.2.10/24", &format!("{ADDRESS}/32"))
            // A script that is always content; in a namespace no process can be tracked, so that
            // both are 20 less worthy by that.
            .replace("10.0.0.1:443", &daemon.address.to_string())
            // Where the program was built, others may write.
            .replace("enable_script_security", "");
        // VRRP only: what follows is for checkers, and needs the kernel's IPVS.
        let (config, _) = text.split_once("# 3. HTTP_GET").unwrap();
        Node {
            keepalived: start(name, keepalived, config, &space),
            daemon: Some(daemon),
            space,
            folder,
        }
    }

    fn loses(&self, what: &str) {
        fs::remove_file(self.folder.file(what)).unwrap();
    }

    fn has_again(&self, what: &str) {
        self.folder.write(what, "");
    }

    fn says(&self, file: &str) -> String {
        fs::read_to_string(self.folder.file(file)).unwrap_or_default()
    }

    fn view(&self) -> (String, bool) {
        view(&self.space, &self.keepalived, "site", ADDRESS)
    }
}

/// The daemon with the two components that keepalived follows. It has written both files.
fn daemon(space: &Namespace, listen: &str, folder: &Folder) -> Failover {
    let place = folder.path().display();
    let config = format!(
        "defaults\n  every 100ms\n  fail-after 2\n  ok-after 2\n\
         component balancer\n  file {place}/haproxy\n  track-file {place}/balancer\n\
         component web\n  file {place}/servers\n  track-file {place}/web values 0 20\n"
    );
    let command = space.command(program());
    let daemon = Failover::serve_by(command, listen, &config, Folder::new("daemon"));
    wait_until("two track-files", &[&daemon.peer], || {
        let files: Vec<PathBuf> = ["balancer", "web"].map(|name| folder.file(name)).into();
        let is_there = files.iter().all(|file| file.is_file());
        is_there.then_some(()).ok_or(format!("{files:?}"))
    });
    daemon
}

fn wait_for(what: &str, nodes: [&Node; 2], expected: [(&str, bool); 2]) {
    let peers = nodes.map(|node| &node.keepalived);
    let expected = expected.map(|(state, holds)| (state.to_string(), holds));
    wait_until(what, &peers, || {
        let views = nodes.map(Node::view);
        (views == expected)
            .then_some(())
            .ok_or_else(|| format!("{views:?}; expected {expected:?}"))
    });
}

#[test]
fn keepalived_follows_the_files_that_the_daemon_writes() {
    let Some(keepalived) = need("keepalived") else {
        return;
    };
    let Some([first, second]) = joined() else {
        return;
    };
    let mut first = Node::start("first", &keepalived, "110", first);
    let second = Node::start("second", &keepalived, "100", second);
    wait_for("the first to lead", [&first, &second], [MASTER, BACKUP]);

    first.loses("servers");
    wait_for("20 less", [&first, &second], [BACKUP, MASTER]);
    assert_eq!(first.says("web"), "20\n");
    second.loses("servers");
    wait_for("both 20 less", [&first, &second], [MASTER, BACKUP]);
    first.has_again("servers");
    second.has_again("servers");
    wait_for("both well", [&first, &second], [MASTER, BACKUP]);

    first.loses("haproxy");
    wait_for("a fault", [&first, &second], [FAULT, MASTER]);
    assert_eq!(first.says("balancer"), "1\n");

    // The file outlives its writer, so that nothing happens when that is started anew.
    let before = first.daemon.as_ref().unwrap();
    let (id, address) = (before.peer.id(), before.address.to_string());
    let mut kill = Command::new("kill");
    let killed = kill.args(["-KILL", &id.to_string()]).status();
    assert!(killed.unwrap().success());
    first.daemon = None;
    assert_eq!(first.says("balancer"), "1\n");
    first.has_again("haproxy");
    first.daemon = Some(daemon(&first.space, &address, &first.folder));
    wait_for("no fault any more", [&first, &second], [MASTER, BACKUP]);
}
