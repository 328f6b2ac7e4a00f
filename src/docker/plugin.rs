//! Managed plugins, where bollard stops short: the privileges of one in a registry that wants a login, what a push says in
//! its stream, and the empty answer to a removal.

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE;
use bollard::query_parameters as query;
use futures_util::StreamExt;
use http_body_util::{BodyExt, Full};
use hyper::body::Bytes;
use hyper::{Method, Request, header};
use hyper_util::client::legacy::Client;
use hyper_util::rt::TokioExecutor;

use super::dial::Connector;
use super::image::{ImageError, Layers, SILENCE, Told, credentials, in_time};
use super::{Docker, REGISTRY_LOGIN};
use crate::image::Login;

/// An answer to a plain call: its status and whole body.
type Answer = (u16, Bytes);

/// Pulls the plugin `remote` under the name `name`, with all privileges that it asks for, and leaves it disabled.
///
/// # Errors
/// Docker's word for it, or nothing moved for three minutes.
pub async fn pull(
    docker: &Docker,
    remote: &str,
    name: &str,
    login: Option<&Login>,
    mut told: impl Told,
) -> Result<(), ImageError> {
    // Docker answers `[]` where it cannot reach the registry; then the pull says why
    let privileges = privileges(docker, remote, login).await?;
    let options = query::InstallPluginOptionsBuilder::default().remote(remote).name(name).build();
    let stream = docker.api.install_plugin(options, privileges, login.map(credentials));
    let mut stream = std::pin::pin!(stream);
    let mut progress = Layers::default();
    while let Some(item) = in_time(SILENCE, stream.next()).await? {
        let item = item?;
        let (status, detail) = (item.status.as_deref(), item.progress_detail.as_ref());
        if let Some((message, done, total)) = progress.pulled(item.id.as_deref(), status, detail) {
            told(message, done, total);
        }
    }
    Ok(())
}

async fn privileges(
    docker: &Docker,
    remote: &str,
    login: Option<&Login>,
) -> Result<Vec<bollard::models::PluginPrivilege>, ImageError> {
    // a reference has no character that a query cannot hold
    let path = format!("/plugins/privileges?remote={remote}");
    let body = good(call(docker, Method::GET, &path, login).await?)?;
    serde_json::from_slice(&body).map_err(|e| other(format!("the plugin's privileges: {e}")))
}

/// Pushes the plugin to the registry that its name begins with. An error inside the stream is an error.
///
/// # Errors
/// Docker's or the registry's word for it.
pub async fn push(docker: &Docker, name: &str, login: Option<&Login>) -> Result<(), ImageError> {
    let path = format!("/plugins/{name}/push");
    let body = good(call(docker, Method::POST, &path, login).await?)?;
    let items = serde_json::Deserializer::from_slice(&body).into_iter::<serde_json::Value>();
    for item in items {
        let item = item.map_err(|e| other(format!("the push: {e}")))?;
        if let Some(error) = item["errorDetail"]["message"].as_str().or(item["error"].as_str()) {
            return Err(other(error.to_owned()));
        }
    }
    Ok(())
}

/// Removes a disabled plugin. bollard expects an answer that Docker does not give.
///
/// # Errors
/// Docker's word for it: it is enabled, or not there.
pub async fn remove(docker: &Docker, name: &str) -> Result<(), ImageError> {
    good(call(docker, Method::DELETE, &format!("/plugins/{name}"), None).await?).map(|_| ())
}

fn good((status, body): Answer) -> Result<Bytes, ImageError> {
    if status < 400 {
        return Ok(body);
    }
    let said: serde_json::Value = serde_json::from_slice(&body).unwrap_or_default();
    let message = said["message"]
        .as_str()
        .map_or_else(|| String::from_utf8_lossy(&body).trim().to_owned(), str::to_owned);
    Err(bollard::errors::Error::DockerResponseServerError { status_code: status, message }.into())
}

fn other(error: String) -> ImageError {
    bollard::errors::Error::DockerStreamError { error }.into()
}

/// A call with the login in its header, which bollard sends with pulls alone.
async fn call(
    docker: &Docker,
    method: Method,
    path: &str,
    login: Option<&Login>,
) -> Result<Answer, ImageError> {
    let failed = |e: Box<dyn std::error::Error + Send + Sync>| {
        ImageError::Docker(bollard::errors::Error::IOError { err: std::io::Error::other(e) })
    };
    let client = Client::builder(TokioExecutor::new()).build(Connector(docker.dial.clone()));
    let mut request = Request::builder()
        .method(method)
        .uri(format!("http://docker/v{}{path}", docker.api.client_version()))
        .header(header::CONTENT_LENGTH, "0");
    if let Some(login) = login {
        let json = serde_json::to_vec(&credentials(login)).map_err(|e| failed(e.into()))?;
        request = request.header(REGISTRY_LOGIN, URL_SAFE.encode(json));
    }
    let request = request.body(Full::<Bytes>::default()).map_err(|e| failed(e.into()))?;
    let response = in_time(SILENCE, client.request(request)).await?;
    let response = response.map_err(|e| failed(e.into()))?;
    let status = response.status().as_u16();
    let (mut body, mut all) = (response.into_body(), Vec::new());
    // a push goes on for as long as it tells of progress
    while let Some(frame) = in_time(SILENCE, body.frame()).await? {
        let frame = frame.map_err(|e| failed(e.into()))?;
        all.extend_from_slice(frame.data_ref().map_or(&[], |data| data));
    }
    Ok((status, all.into()))
}
