//! A balanced HTTP client: three servers, one of them slow, one that dies.
//!
//! `cargo run -p tower-lb --features hyper --example hyper_client`

use std::{convert::Infallible, error::Error, time::Duration};

use bytes::Bytes;
use http::{Request, Response};
use http_body_util::{BodyExt, Empty, Full};
use hyper::{body::Incoming, server::conn::http1, service::service_fn};
use hyper_util::rt::TokioIo;
use tokio::{net::TcpListener, task::JoinHandle};
use tower::ServiceExt;
use tower_lb::{Balancer, Endpoint, policy::PeakEwma};

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let mut servers = Vec::new();
    for delay in [20, 1, 1] {
        servers.push(serve(Duration::from_millis(delay)).await?);
    }

    let endpoints = servers.iter().map(|(address, _)| Endpoint::new(address));
    let balancer = Balancer::builder().policy(PeakEwma::default()).endpoints(endpoints).build()?;
    let client = tower_lb::hyper::client(balancer.clone())?;

    for part in ["all three are up", "the last has died"] {
        let requests = (0..300).map(|_| async {
            let request = Request::get("/hello").body(Empty::<Bytes>::new())?;
            let answer = client.clone().oneshot(request).await?;
            answer.into_body().collect().await?;
            Ok::<_, Box<dyn Error>>(())
        });
        let mut failed = 0;
        for request in requests {
            failed += usize::from(request.await.is_err());
        }
        println!("{part}: {failed} of 300 requests failed");
        for node in balancer.fleet().snapshot().nodes() {
            let mean = node.mean_latency().unwrap_or(f32::NAN) / 1e6;
            println!("  {}: {} answered, mean {mean:.1} ms", node.id(), node.total().successes);
        }
        if let Some((_, server)) = servers.pop() {
            server.abort();
            let _ = server.await;
        }
    }
    Ok(())
}

/// A server that takes its time. Its address, and the task to end it by.
async fn serve(delay: Duration) -> Result<(String, JoinHandle<()>), Box<dyn Error>> {
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    let address = format!("http://{}", listener.local_addr()?);
    let answer = move |_: Request<Incoming>| async move {
        tokio::time::sleep(delay).await;
        Ok::<_, Infallible>(Response::new(Full::new(Bytes::from_static(b"hello"))))
    };
    let task = tokio::spawn(async move {
        let mut connections = tokio::task::JoinSet::new();
        while let Ok((tcp, _)) = listener.accept().await {
            let connection = http1::Builder::new();
            connections.spawn(async move {
                let served = connection.serve_connection(TokioIo::new(tcp), service_fn(answer));
                let _ = served.await;
            });
        }
    });
    Ok((address, task))
}
