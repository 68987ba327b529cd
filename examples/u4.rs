//! U4 (asynchronous): the service is asked every so often in the background; whoever asks us is
//! told at once what the state is.
//!
//! `make example-u4`, then `curl -i 127.0.0.1:8080/example-u4`.

mod shared;

use failover::{Background, HealthCheckServer, Hysteresis, TcpCheck, fail, second};
use shared::Demo;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let demo = Demo::start("example-u4", "3s", "3s")?;
    let server = HealthCheckServer::bind(&demo.listen)?;
    let task = Hysteresis::new(TcpCheck::new(&demo.host, demo.port.as_str(), second(10))?)
        .initial_state(fail)
        .ok_after(demo.ok_after)?
        .fail_after(demo.fail_after)?;
    server.add_component("example-u4", Background::new(task, demo.every, fail)?)?;
    demo.serve(&server)
}
