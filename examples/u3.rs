//! U3 (time-based hysteresis): starts FAIL; consistently healthy for a time changes it to OK,
//! consistently unhealthy for a time changes it back.
//!
//! `make example-u3`, then `curl -i 127.0.0.1:8080/example-u3`.

mod shared;

use failover::{HealthCheckServer, Hysteresis, TcpCheck, fail, second};
use shared::Demo;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let demo = Demo::start("example-u3", "5s", "5s")?;
    let server = HealthCheckServer::bind(&demo.listen)?;
    server.add_component(
        "example-u3",
        Hysteresis::new(TcpCheck::new(&demo.host, demo.port.as_str(), second(10))?)
            .initial_state(fail)
            .ok_after(demo.ok_after)?
            .fail_after(demo.fail_after)?,
    )?;
    demo.serve(&server)
}
