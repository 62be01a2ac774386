//! One mock server until it is killed: `cargo run -p trimtab-mock --example serve -- 8000 mid`.

use std::{error::Error, future, net::SocketAddr};

use trimtab_mock::{Server, run};

fn main() -> Result<(), Box<dyn Error>> {
    let mut args = std::env::args().skip(1);
    let port = args.next().unwrap_or_else(|| "8000".to_owned()).parse()?;
    let preset = args.next().unwrap_or_else(|| "mid".to_owned());
    let builder = Server::builder().preset_name(&preset)?;
    let ready = |server: &Server| println!("{preset} on {}", server.url());
    run(builder, SocketAddr::from(([127, 0, 0, 1], port)), ready, future::pending())?;
    Ok(())
}
