//! A balanced channel in a client that tonic generated: gRPC health checks of two servers.
//!
//! `cargo run -p tower-lb --features tonic --example tonic_channel`

use std::error::Error;

use hyper::server::conn::http2;
use hyper_util::{
    rt::{TokioExecutor, TokioIo},
    service::TowerToHyperService,
};
use tokio::net::TcpListener;
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
    let service = TowerToHyperService::new(service);
    tokio::spawn(async move {
        while let Ok((tcp, _)) = listener.accept().await {
            let builder = http2::Builder::new(TokioExecutor::new());
            tokio::spawn(builder.serve_connection(TokioIo::new(tcp), service.clone()));
        }
    });
    Ok(address)
}
