//! A generated gRPC client over a balanced channel.

use tower_lb::{Balancer, Endpoint, policy::PeakEwma};
use trimtab_mock::proto::{GenerateRequest, inference_client::InferenceClient};

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let endpoints = ["http://127.0.0.1:9101", "http://127.0.0.1:9102"].map(Endpoint::new);
    let balancer = Balancer::builder().policy(PeakEwma::default()).endpoints(endpoints).build()?;
    let mut client = InferenceClient::new(tower_lb::tonic::channel(balancer));
    let ask = GenerateRequest { prompt: "Hello".into(), max_tokens: 16, ..Default::default() };
    println!("{:?}", client.generate(ask).await?.into_inner());
    Ok(())
}
