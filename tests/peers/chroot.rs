//! The static binary needs nothing but itself: it works in an empty directory.

use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::service::Service;
use crate::support::{Failover, Folder, command, need, run, said, skip};

/// Where the static binary is. One that is there is taken as it is; CI has just built it. If there
/// is none it is built, which takes a minute or two.
fn static_binary() -> PathBuf {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let script = |word| {
        let mut script = command("sh");
        script.current_dir(root).args(["tests/static.sh", word]);
        // Whatever this is compiled for, it runs on this machine.
        script.env_remove("ARCH");
        script
    };
    let path = root.join(said(&mut script("path")).trim());
    if !path.exists() {
        said(&mut script("build"));
    }
    path
}

/// Only root may change the root directory.
fn is_root() -> bool {
    fs::metadata("/proc/self").is_ok_and(|it| it.uid() == 0)
}

#[test]
fn the_static_binary_works_alone_in_an_empty_root_directory() {
    let Some(chroot) = need("chroot") else {
        return;
    };
    if !is_root() {
        return skip("chroot", "only root may");
    }
    let root = Folder::new("root");
    fs::copy(static_binary(), root.file("failover")).unwrap();
    let failover = || {
        let mut failover = command(&chroot);
        failover.arg(root.path()).arg("/failover");
        failover
    };
    let mut service = Service::start();
    let config = format!(
        "component web\n tcp {service}\n every 100ms\n timeout 10s\n ok-after 2\n fail-after 2"
    );
    let server = Failover::serve_by(failover(), "127.0.0.1:0", &config, Folder::new("chroot"));
    let probe = |service: &Service| {
        let mut probe: Command = failover();
        probe.args(["probe", "tcp", &service.to_string(), "timeout", "10s"]);
        let output = run(&mut probe);
        let said = String::from_utf8_lossy(&output.stdout).into_owned();
        (
            output.status.code(),
            said.split(' ').next().map(String::from),
        )
    };
    server.wait_for("/web", "HTTP/1.0 200 OK");
    assert_eq!(probe(&service), (Some(0), Some("OK".into())));
    service.stop();
    server.wait_for("/web", "HTTP/1.0 503 FAIL");
    assert_eq!(probe(&service), (Some(1), Some("FAIL".into())));
    service.start_again();
    server.wait_for("/web", "HTTP/1.0 200 OK");
    assert!(said(failover().arg("help")).contains("fail-after"));
    let files = fs::read_dir(root.path()).unwrap().count();
    assert_eq!(files, 1, "it has made files in {}", root.path().display());
}
