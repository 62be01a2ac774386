//! A balanced channel in a client that tonic generated: gRPC health checks of two servers.
//!
//! `cargo run -p tower-lb --features tonic --example tonic_channel`

use std::error::Error;

use tokio::net::TcpListener;
use tokio_stream::wrappers::TcpListenerStream;
use tonic::transport::Server;
use tonic_health::{ServingStatus, pb::HealthCheckRequest, pb::health_client::HealthClient};
use tower_lb::{Balancer, Endpoint, Route, policy::PeakEwma};

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let mut endpoints = Vec::new();
    for _ in 0..2 {
        endpoints.push(Endpoint::new(serve().await?));
    }

    let balancer = Balancer::builder().policy(PeakEwma::default()).endpoints(endpoints).build()?;
    let mut health = HealthClient::new(tower_lb::tonic::channel(balancer.clone()));

    for _ in 0..100 {
        let mut request = tonic::Request::new(HealthCheckRequest { service: "greeter".into() });
        // What learned policies and hashing policies go by.
        request.extensions_mut().insert(Route::new().with_class("check").with_key("user-17"));
        health.check(request).await?;
    }
    for node in balancer.fleet().snapshot().nodes() {
        println!("{}: {} answered", node.id(), node.total().successes);
    }
    Ok(())
}

async fn serve() -> Result<String, Box<dyn Error>> {
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    let address = format!("http://{}", listener.local_addr()?);
    let (reporter, service) = tonic_health::server::health_reporter();
    reporter.set_service_status("greeter", ServingStatus::Serving).await;
    let connections = TcpListenerStream::new(listener);
    tokio::spawn(Server::builder().add_service(service).serve_with_incoming(connections));
    Ok(address)
}
