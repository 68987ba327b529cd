//! U2 (counted hysteresis): starts FAIL; so many good answers in a row change it to OK, so many
//! bad ones in a row change it back.
//!
//! `make example-u2`, then `curl -i 127.0.0.1:8080/example-u2`.

mod shared;

use failover::{HealthCheckServer, Hysteresis, TcpCheck, fail, second};
use shared::Demo;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let demo = Demo::start("example-u2", "3", "5")?;
    let server = HealthCheckServer::bind(&demo.listen)?;
    server.add_component(
        "example-u2",
        Hysteresis::new(TcpCheck::new(&demo.host, demo.port.as_str(), second(10))?)
            .initial_state(fail)
            .ok_after(demo.ok_after)?
            .fail_after(demo.fail_after)?,
    )?;
    demo.serve(&server)
}
