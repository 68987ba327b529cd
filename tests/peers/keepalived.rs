//! keepalived moves its virtual addresses because of `failover probe`.
//!
//! Two nodes, each in a network namespace of its own and running the real keepalived, are joined
//! by a pair of virtual interfaces. Each tracks, by a `vrrp_script`, a service that only its own
//! node can reach. All addresses are private and none of them is seen outside.

use std::net::SocketAddr;
use std::path::Path;
use std::process::Command;

use crate::support::{Failover, Folder, Peer, command, need, program, run, said, skip, wait_until};

/// The interface of each node.
pub(crate) const INTERFACE: &str = "veth0";

/// The virtual addresses. A script without a weight makes an instance FAULT, one with a weight only
/// less worthy.
const INSTANCES: [(&str, &str, &str); 2] = [
    ("strict", "10.99.0.101", "service"),
    ("weighed", "10.99.0.102", "service weight -100"),
];

/// A network namespace, which is there as long as something runs in it.
pub(crate) struct Namespace(Peer);

impl Namespace {
    /// `None` once it was said that this cannot be had.
    fn new(unshare: &Path) -> Option<Namespace> {
        let mut holder = command(unshare);
        // Ends by itself should nobody be left to end it.
        let script = "echo made; exec sleep 600";
        holder.args(["--net", "sh", "-c", script]);
        let holder = Peer::start("unshare", holder, Folder::new("netns"));
        let made = wait_until("a network namespace", &[], || match holder.log() {
            log if log.contains("made") => Ok(Ok(())),
            log if log.ends_with('\n') => Ok(Err(log)),
            log => Err(log),
        });
        match made {
            Ok(()) => Some(Namespace(holder)),
            Err(why) => {
                skip("network namespaces", why.trim());
                None
            }
        }
    }

    /// A command that runs in it, as the same process.
    pub(crate) fn command(&self, program: impl AsRef<Path>) -> Command {
        let mut command = command("nsenter");
        let holder = self.0.id().to_string();
        command
            .args(["--net", "--target", &holder, "--"])
            .arg(program.as_ref());
        command
    }

    fn ip(&self, words: &str) -> Command {
        let mut ip = self.command("ip");
        ip.args(words.split(' '));
        ip
    }
}

/// One of the two machines.
struct Node {
    // Dropped in this order: what runs in the namespace ends before it does.
    keepalived: Peer,
    service: Option<Failover>,
    service_address: SocketAddr,
    space: Namespace,
}

impl Node {
    fn start(name: &str, keepalived: &Path, priority: u8, space: Namespace) -> Node {
        let service = serve(&space, "127.0.0.1:0");
        let config = config(name, priority, service.address);
        Node {
            keepalived: start(name, keepalived, &config, &space),
            service_address: service.address,
            service: Some(service),
            space,
        }
    }

    fn stop_service(&mut self) {
        self.service = None;
    }

    fn start_service_again(&mut self) {
        let address = self.service_address.to_string();
        self.service = Some(serve(&self.space, &address));
    }

    fn views(&self) -> [(String, bool); 2] {
        INSTANCES
            .map(|(instance, address, _)| view(&self.space, &self.keepalived, instance, address))
    }
}

/// keepalived in the foreground, VRRP only, in detail, with its output in its log.
pub(crate) fn start(name: &str, keepalived: &Path, config: &str, space: &Namespace) -> Peer {
    let folder = Folder::new(name);
    let config = folder.write("keepalived.conf", config);
    let mut command = space.command(keepalived);
    command.args(["-n", "-P", "-D", "-l", "-f"]).arg(config);
    command.arg("-p").arg(folder.file("pid"));
    command.arg("-r").arg(folder.file("vrrp-pid"));
    Peer::start(name, command, folder)
}

/// The state that an instance entered last, and whether it holds its address.
pub(crate) fn view(
    space: &Namespace,
    keepalived: &Peer,
    instance: &str,
    address: &str,
) -> (String, bool) {
    let entered = format!("({instance}) Entering ");
    let log = keepalived.log();
    let last = log.rsplit_once(&entered).map_or("", |(_, rest)| rest);
    let state = last.split(' ').next().unwrap_or("").to_string();
    let shown = said(&mut space.ip(&format!("-o -4 address show dev {INTERFACE}")));
    (state, shown.contains(&format!(" {address}/")))
}

/// Any TCP service would do; this one is at hand.
fn serve(space: &Namespace, listen: &str) -> Failover {
    let config = "component any\n tcp 127.0.0.1:9\n on-request";
    Failover::serve_by(space.command(program()), listen, config, Folder::new("tcp"))
}

fn config(name: &str, priority: u8, service: SocketAddr) -> String {
    let program = program();
    // The rule that a script's path must be writable by root only is left off: this program is
    // wherever it was built.
    let mut config = format!(
        "global_defs {{\n\
         \x20   router_id {name}\n\
         \x20   script_user root\n\
         }}\n\
         vrrp_script service {{\n\
         \x20   script \"'{program}' probe tcp {service} timeout 5s\"\n\
         \x20   interval 1\n\
         \x20   timeout 10\n\
         \x20   fall 2\n\
         \x20   rise 2\n\
         }}\n"
    );
    for (number, (instance, address, track)) in (1..).zip(INSTANCES) {
        config += &format!(
            "vrrp_instance {instance} {{\n\
             \x20   state BACKUP\n\
             \x20   interface {INTERFACE}\n\
             \x20   virtual_router_id {number}\n\
             \x20   priority {priority}\n\
             \x20   advert_int 1\n\
             \x20   virtual_ipaddress {{\n\
             \x20       {address}/32\n\
             \x20   }}\n\
             \x20   track_script {{\n\
             \x20       {track}\n\
             \x20   }}\n\
             }}\n"
        );
    }
    config
}

/// Two namespaces with a cable between them, or `None` once it was said why not.
pub(crate) fn joined() -> Option<[Namespace; 2]> {
    need("nsenter")?;
    need("ip")?;
    let unshare = need("unshare")?;
    let spaces = [Namespace::new(&unshare)?, Namespace::new(&unshare)?];
    let other = spaces[1].0.id();
    let cable = format!("link add {INTERFACE} type veth peer name {INTERFACE} netns {other}");
    let joining = run(&mut spaces[0].ip(&cable));
    if !joining.status.success() {
        skip(
            "network namespaces",
            String::from_utf8_lossy(&joining.stderr).trim(),
        );
        return None;
    }
    for (number, space) in (1..).zip(&spaces) {
        said(&mut space.ip(&format!("address add 10.99.0.{number}/24 dev {INTERFACE}")));
        said(&mut space.ip(&format!("link set {INTERFACE} up")));
        said(&mut space.ip("link set lo up"));
    }
    Some(spaces)
}

fn wait_for(what: &str, nodes: [&Node; 2], expected: [[(&str, bool); 2]; 2]) {
    let peers = nodes.map(|node| &node.keepalived);
    let expected = expected.map(|views| views.map(|(state, holds)| (state.to_string(), holds)));
    wait_until(what, &peers, || {
        let views = nodes.map(Node::views);
        (views == expected)
            .then_some(())
            .ok_or_else(|| format!("{views:?}; expected {expected:?}"))
    });
}

#[test]
fn keepalived_moves_its_addresses_away_from_a_dead_service_and_back() {
    let Some(keepalived) = need("keepalived") else {
        return;
    };
    let Some([first, second]) = joined() else {
        return;
    };
    let mut first = Node::start("first", &keepalived, 150, first);
    let second = Node::start("second", &keepalived, 100, second);
    let master = ("MASTER", true);
    let backup = ("BACKUP", false);
    let fault = ("FAULT", false);
    let all_on_first = [[master, master], [backup, backup]];
    wait_for("the first node to lead", [&first, &second], all_on_first);
    first.stop_service();
    let all_on_second = [[fault, backup], [master, master]];
    wait_for(
        "the second node to take over",
        [&first, &second],
        all_on_second,
    );
    first.start_service_again();
    wait_for("the first node to be back", [&first, &second], all_on_first);
}
