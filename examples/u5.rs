//! U5 (manual reset): starts OK; consistently unhealthy for a time changes it to FAIL, and there
//! it stays until a human with credentials resets it.
//!
//! `make example-u5`, then `curl -i 127.0.0.1:8080/example-u5`, and once it has failed
//! `curl -i -u demo:demo -X POST 127.0.0.1:8080/example-u5`.

mod shared;

use failover::{
    HealthCheckServer, HtpasswdFile, Hysteresis, Oneshot, TcpCheck, Toggle, fail, ok, second,
};
use shared::Demo;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let demo = Demo::start("example-u5", "1", "5s")?;
    let server = HealthCheckServer::bind(&demo.listen)?;
    let task = Hysteresis::new(TcpCheck::new(&demo.host, demo.port.as_str(), second(10))?)
        .initial_state(ok)
        .fail_after(demo.fail_after)?;
    let reset = Oneshot::with_auth(fail, HtpasswdFile::open(demo.users_file()?)?);
    let latch = Toggle::new(task, reset.clone()).initial_state(ok);
    server.add_component_with_post("example-u5", latch, reset)?;
    demo.serve(&server)
}
