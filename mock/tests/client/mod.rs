//! A small HTTP client and the servers that the tests share.
#![allow(dead_code, reason = "each test program uses a part")]

use std::time::Duration;

use bytes::Bytes;
use http::{HeaderMap, Method, Request, Response, StatusCode};
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper_util::{
    client::legacy::{self, connect::HttpConnector},
    rt::TokioExecutor,
};
use serde_json::Value;
use tokio::sync::watch;
use trimtab_core::sim::{Occupancy, Preset};
use trimtab_mock::{Server, ServerBuilder};

/// A server on a free port whose model has no noise.
pub(crate) async fn start(configure: impl FnOnce(ServerBuilder) -> ServerBuilder) -> Server {
    let builder = Server::builder().preset(preset("decode-fast")).seed(1);
    configure(builder).bind(([127, 0, 0, 1], 0).into()).await.unwrap()
}

pub(crate) fn preset(name: &str) -> Preset {
    Preset::by_name(name).unwrap().with_noise_sigma(0.0)
}

/// A preset on which the answer of [`endless`] takes the better part of an hour.
pub(crate) fn slow_preset() -> Preset {
    preset("mid").with_max_seqs(1)
}

pub(crate) fn endless(stream: bool) -> Value {
    serde_json::json!({ "model": "m", "prompt": "x", "max_tokens": 500_000, "stream": stream })
}

/// Waits for an event that must come, with a limit only so that a defect fails instead of hanging.
pub(crate) async fn soon<T>(event: impl Future<Output = T>) -> T {
    tokio::time::timeout(Duration::from_secs(60), event).await.expect("it never happened")
}

pub(crate) async fn until(
    occupancy: &mut watch::Receiver<Occupancy>,
    holds: impl FnMut(&Occupancy) -> bool,
) {
    soon(occupancy.wait_for(holds)).await.expect("the server stopped");
}

#[derive(Clone, Debug)]
pub(crate) struct Client {
    client: legacy::Client<HttpConnector, Full<Bytes>>,
    url: String,
}

#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: StatusCode,
    pub(crate) headers: HeaderMap,
    pub(crate) body: Bytes,
}

impl Client {
    pub(crate) fn new(server: &Server) -> Self {
        let client = legacy::Client::builder(TokioExecutor::new()).build_http();
        Self { client, url: server.url() }
    }

    pub(crate) fn http2(server: &Server) -> Self {
        let mut builder = legacy::Client::builder(TokioExecutor::new());
        Self { client: builder.http2_only(true).build_http(), url: server.url() }
    }

    /// The response as soon as its headers are there.
    pub(crate) async fn send(
        &self,
        method: Method,
        path: &str,
        header: Option<(&str, &str)>,
        body: impl Into<Bytes>,
    ) -> Result<Response<Incoming>, legacy::Error> {
        let mut request = Request::builder().method(method).uri(format!("{}{path}", self.url));
        if let Some((name, value)) = header {
            request = request.header(name, value);
        }
        let request = request.body(Full::new(body.into())).unwrap();
        soon(self.client.request(request)).await
    }

    pub(crate) async fn get(&self, path: &str) -> Answer {
        whole(self.send(Method::GET, path, None, "").await.unwrap()).await
    }

    pub(crate) async fn post(&self, path: &str, body: &Value) -> Answer {
        whole(self.start(path, body).await.unwrap()).await
    }

    pub(crate) async fn start(
        &self,
        path: &str,
        body: &Value,
    ) -> Result<Response<Incoming>, legacy::Error> {
        self.send(Method::POST, path, None, body.to_string()).await
    }

    /// One gauge or counter from the metrics page, summed over its labels.
    pub(crate) async fn metric(&self, name: &str) -> f64 {
        let page = self.get("/metrics").await.text();
        let samples: Vec<f64> = page
            .lines()
            .filter(|line| line.starts_with(&format!("{name}{{")))
            .map(|line| line.rsplit(' ').next().unwrap().parse().unwrap())
            .collect();
        assert!(!samples.is_empty(), "no {name} in {page}");
        samples.iter().sum()
    }
}

impl Answer {
    pub(crate) fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap_or_else(|_| panic!("{:?}", self.body))
    }

    pub(crate) fn text(&self) -> String {
        String::from_utf8(self.body.to_vec()).unwrap()
    }

    pub(crate) fn header(&self, name: &str) -> &str {
        self.headers.get(name).unwrap_or_else(|| panic!("no {name}")).to_str().unwrap()
    }

    pub(crate) fn error(&self) -> String {
        self.json()["error"]["message"].as_str().unwrap().to_owned()
    }
}

pub(crate) async fn whole(response: Response<Incoming>) -> Answer {
    let (parts, body) = response.into_parts();
    let body = soon(body.collect()).await.unwrap().to_bytes();
    Answer { status: parts.status, headers: parts.headers, body }
}
