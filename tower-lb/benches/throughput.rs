//! Requests a second through trimtab over the same client without it, on loopback.
//!
//! `cargo bench -p tower-lb --all-features --bench throughput`
//!
//! The server has a thread of its own, the clients run on another; each pair takes turns in short slices,
//! and the ratio of each turn counts, so that what else the machine does weighs on both alike. Prints
//! one JSON object a pair: requests/s (medians) and the ratio's quartiles. One endpoint: the balancer's
//! whole path is run, with nothing to gain from it.
#![allow(missing_docs, clippy::pedantic)]

use std::{convert::Infallible, net::SocketAddr, time::Duration};

use bytes::Bytes;
use futures_util::{StreamExt, future::BoxFuture, stream::FuturesUnordered};
use http::{Request, Response};
use http_body_util::{BodyExt, Full};
use hyper::{
    body::Incoming,
    client::conn::{http1, http2},
    service::service_fn,
};
use hyper_util::{
    client::legacy::{Client, connect::HttpConnector},
    rt::{TokioExecutor, TokioIo},
};
use tokio::net::{TcpListener, TcpStream};
use tonic_health::pb::{HealthCheckRequest, health_client::HealthClient};
use tower::Service;
use tower_lb::{
    Balancer, Builder, Endpoint,
    hyper::{Config, Protocol, client_with},
};

const CONCURRENCY: usize = 32;
const SLICE: Duration = Duration::from_millis(200);
const TURNS: usize = 41;

type Body = Full<Bytes>;
/// Sends one request and reads the answer.
type Call = Box<dyn Fn(usize) -> BoxFuture<'static, ()>>;

fn main() {
    // `cargo test --benches` only asks whether it runs.
    let turns = if std::env::args().any(|arg| arg == "--bench") { TURNS } else { 1 };
    let address = start_server();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        let (h1, h2) = (Protocol::Http1, Protocol::Http2);
        compare(
            "http1, over hyper-util's pooled client",
            turns,
            legacy(address, false),
            trimtab(address, h1),
        )
        .await;
        compare(
            "http1, over hyper's connections, no pool",
            turns,
            bare_http1(address).await,
            trimtab(address, h1),
        )
        .await;
        compare(
            "http2, over hyper-util's pooled client",
            turns,
            legacy(address, true),
            trimtab(address, h2),
        )
        .await;
        compare(
            "http2, over hyper's connection, no pool",
            turns,
            bare_http2(address).await,
            trimtab(address, h2),
        )
        .await;
        compare("grpc, over tonic's channel", turns, tonic(address).await, trimtab_grpc(address))
            .await;
    });
}

async fn compare(what: &str, turns: usize, bare: Call, balanced: Call) {
    let mut wanted = std::env::args().skip(1).filter(|arg| !arg.starts_with('-')).peekable();
    if wanted.peek().is_some() && !wanted.any(|wanted| what.contains(&wanted)) {
        return;
    }
    for call in [&bare, &balanced] {
        slice(call).await;
    }
    let (mut bares, mut balanceds, mut ratios) = (Vec::new(), Vec::new(), Vec::new());
    let (mut bare_cpu, mut balanced_cpu, mut cpu_ratios) = (Vec::new(), Vec::new(), Vec::new());
    for turn in 0..turns {
        let (a, b) = if turn % 2 == 0 {
            let a = slice(&bare).await;
            (a, slice(&balanced).await)
        } else {
            let b = slice(&balanced).await;
            (slice(&bare).await, b)
        };
        bares.push(a.per_second);
        balanceds.push(b.per_second);
        ratios.push(b.per_second / a.per_second);
        bare_cpu.push(a.cpu_micros);
        balanced_cpu.push(b.cpu_micros);
        cpu_ratios.push(a.cpu_micros / b.cpu_micros);
    }
    let quantile = |values: &mut Vec<f64>, q: f64| {
        values.sort_by(f64::total_cmp);
        values[((values.len() - 1) as f64 * q).round() as usize]
    };
    let result = serde_json::json!({
        "what": what,
        "concurrency": CONCURRENCY,
        "turns": turns,
        "bare_requests_per_second": quantile(&mut bares, 0.5).round(),
        "trimtab_requests_per_second": quantile(&mut balanceds, 0.5).round(),
        "bare_client_cpu_us": quantile(&mut bare_cpu, 0.5),
        "trimtab_client_cpu_us": quantile(&mut balanced_cpu, 0.5),
        "requests_per_cpu_second_ratio_q25": quantile(&mut cpu_ratios, 0.25),
        "requests_per_cpu_second_ratio_median": quantile(&mut cpu_ratios, 0.5),
        "requests_per_cpu_second_ratio_q75": quantile(&mut cpu_ratios, 0.75),
        "ratio_q25": quantile(&mut ratios, 0.25),
        "ratio_median": quantile(&mut ratios, 0.5),
        "ratio_q75": quantile(&mut ratios, 0.75),
    });
    println!("{result}");
}

struct Measured {
    per_second: f64,
    /// CPU time of the client's thread for each request; not a number where there is no `/proc`.
    cpu_micros: f64,
}

/// Runs requests for a slice of time, with `CONCURRENCY` of them under way.
async fn slice(call: &Call) -> Measured {
    let (start, cpu) = (std::time::Instant::now(), thread_cpu());
    let one = |lane: usize| {
        let request = call(lane);
        async move {
            request.await;
            lane
        }
    };
    let mut under_way: FuturesUnordered<_> = (0..CONCURRENCY).map(one).collect();
    let mut done = 0_u32;
    while let Some(lane) = under_way.next().await {
        done += 1;
        if start.elapsed() < SLICE {
            under_way.push(one(lane));
        }
    }
    Measured {
        per_second: f64::from(done) / start.elapsed().as_secs_f64(),
        cpu_micros: (thread_cpu() - cpu) / 1e3 / f64::from(done),
    }
}

/// Nanoseconds that this thread has run.
fn thread_cpu() -> f64 {
    let stat = std::fs::read_to_string("/proc/thread-self/schedstat").unwrap_or_default();
    stat.split(' ').next().and_then(|nanos| nanos.parse().ok()).unwrap_or(f64::NAN)
}

fn request(address: SocketAddr, whole: bool) -> Request<Body> {
    let uri = if whole { format!("http://{address}/v1/models") } else { "/v1/models".to_owned() };
    Request::post(uri)
        .header("host", address.to_string())
        .header("content-type", "application/json")
        .header("authorization", "Bearer 0123456789")
        .body(Full::from(&[b'x'; 200][..]))
        .unwrap()
}

async fn read<B: http_body::Body>(answer: Response<B>)
where
    B::Error: std::fmt::Debug,
{
    assert_eq!(answer.status(), 200);
    answer.into_body().collect().await.unwrap();
}

fn trimtab(address: SocketAddr, protocol: Protocol) -> Call {
    let endpoint = Endpoint::new(format!("http://{address}"));
    let balancer = Balancer::builder().endpoints([endpoint]).build().unwrap();
    let config = Config::default().with_protocol(protocol);
    let client = client_with::<Body>(Builder::new(balancer), config).unwrap();
    Box::new(move |_| {
        let answer = client.clone().call(request(address, false));
        Box::pin(async move { read(answer.await.unwrap()).await })
    })
}

fn legacy(address: SocketAddr, http2: bool) -> Call {
    let mut connector = HttpConnector::new();
    connector.set_nodelay(true);
    let client: Client<_, Body> =
        Client::builder(TokioExecutor::new()).http2_only(http2).build(connector);
    Box::new(move |_| {
        let answer = client.request(request(address, true));
        Box::pin(async move { read(answer.await.unwrap()).await })
    })
}

/// Each lane has a connection of its own.
async fn bare_http1(address: SocketAddr) -> Call {
    let mut lanes = Vec::new();
    for _ in 0..CONCURRENCY {
        let (sender, connection) =
            http1::handshake::<_, Body>(connect(address).await).await.unwrap();
        tokio::spawn(connection);
        lanes.push(std::sync::Arc::new(tokio::sync::Mutex::new(sender)));
    }
    Box::new(move |lane| {
        let lane = lanes[lane].clone();
        Box::pin(async move {
            let mut sender = lane.lock().await;
            sender.ready().await.unwrap();
            read(sender.send_request(request(address, false)).await.unwrap()).await;
        })
    })
}

/// All lanes share one connection.
async fn bare_http2(address: SocketAddr) -> Call {
    let io = connect(address).await;
    let mut builder = http2::Builder::new(TokioExecutor::new());
    builder.initial_stream_window_size(2 << 20).initial_connection_window_size(5 << 20);
    let (sender, connection) = builder.handshake::<_, Body>(io).await.unwrap();
    tokio::spawn(connection);
    Box::new(move |_| {
        let mut sender = sender.clone();
        Box::pin(async move {
            read(sender.send_request(request(address, true)).await.unwrap()).await;
        })
    })
}

async fn connect(address: SocketAddr) -> TokioIo<TcpStream> {
    let tcp = TcpStream::connect(address).await.unwrap();
    tcp.set_nodelay(true).unwrap();
    TokioIo::new(tcp)
}

async fn tonic(address: SocketAddr) -> Call {
    let endpoint = tonic::transport::Endpoint::new(format!("http://{address}")).unwrap();
    let client = HealthClient::new(endpoint.connect().await.unwrap());
    Box::new(move |_| {
        let mut client = client.clone();
        Box::pin(async move {
            client.check(HealthCheckRequest::default()).await.unwrap();
        })
    })
}

fn trimtab_grpc(address: SocketAddr) -> Call {
    let endpoint = Endpoint::new(format!("http://{address}"));
    let balancer = Balancer::builder().endpoints([endpoint]).build().unwrap();
    let client = HealthClient::new(tower_lb::tonic::channel(balancer));
    Box::new(move |_| {
        let mut client = client.clone();
        Box::pin(async move {
            client.check(HealthCheckRequest::default()).await.unwrap();
        })
    })
}

/// HTTP/1.1, HTTP/2 and gRPC on one port, on a thread of its own.
fn start_server() -> SocketAddr {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    listener.set_nonblocking(true).unwrap();
    let address = listener.local_addr().unwrap();
    std::thread::spawn(move || {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async {
            let listener = TcpListener::from_std(listener).unwrap();
            loop {
                let (tcp, _) = listener.accept().await.unwrap();
                tcp.set_nodelay(true).unwrap();
                tokio::spawn(async move {
                    let builder =
                        hyper_util::server::conn::auto::Builder::new(TokioExecutor::new());
                    let _ = builder.serve_connection(TokioIo::new(tcp), service_fn(answer)).await;
                });
            }
        });
    });
    address
}

async fn answer(request: Request<Incoming>) -> Result<Response<Answer>, Infallible> {
    let grpc = request.headers().get("content-type").is_some_and(|kind| kind == "application/grpc");
    let _ = request.into_body().collect().await;
    Ok(if grpc {
        let mut trailers = http::HeaderMap::new();
        trailers.insert("grpc-status", "0".parse().unwrap());
        let body = Full::new(Bytes::from_static(&[0; 5]));
        let body = body.with_trailers(std::future::ready(Some(Ok(trailers)))).boxed_unsync();
        Response::builder().header("content-type", "application/grpc").body(body).unwrap()
    } else {
        Response::new(Full::from(&[b'y'; 500][..]).boxed_unsync())
    })
}

type Answer = http_body_util::combinators::UnsyncBoxBody<Bytes, Infallible>;
