//! Example 1 (simple TCP check): whoever asks has the service asked, and is told what it said.
//!
//! `make example-1`, then `curl -i 127.0.0.1:8080/example-1`.

mod shared;

use failover::{HealthCheckServer, TcpCheck, second};
use shared::Demo;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let demo = Demo::start("example-1", "1", "1")?;
    let server = HealthCheckServer::bind(&demo.listen)?;
    server.add_component(
        "example-1",
        TcpCheck::new(&demo.host, demo.port.as_str(), second(10))?,
    )?;
    demo.serve(&server)
}
