//! TLS and mTLS, over real sockets.

mod gateway;

use std::sync::Arc;

use gateway::serve;
use headgate_client::tonic::transport::{Certificate, ClientTlsConfig, Identity};
use headgate_client::tonic::Code;
use headgate_client::{ChatRequest, ChatResponse, Client, ClientBuilder, Error};
use rcgen::{BasicConstraints, CertificateParams, DnType, IsCa, Issuer, KeyPair};
use tokio::net::TcpListener;
use tokio::sync::mpsc::unbounded_channel;
use tokio_rustls::rustls::crypto::ring::default_provider;
use tokio_rustls::rustls::pki_types::{CertificateDer, PrivateKeyDer};
use tokio_rustls::rustls::server::WebPkiClientVerifier;
use tokio_rustls::rustls::{RootCertStore, ServerConfig};
use tokio_rustls::TlsAcceptor;

/// An authority that signs certificates.
struct Authority {
    issuer: Issuer<'static, KeyPair>,
    certificate: rcgen::Certificate,
}

impl Authority {
    fn new(name: &str) -> Self {
        let mut params = CertificateParams::default();
        params.distinguished_name.push(DnType::CommonName, name);
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let key = KeyPair::generate().unwrap();
        let certificate = params.self_signed(&key).unwrap();
        Self { issuer: Issuer::new(params, key), certificate }
    }

    fn sign(&self, name: &str) -> (rcgen::Certificate, KeyPair) {
        let key = KeyPair::generate().unwrap();
        let params = CertificateParams::new([name.to_owned()]).unwrap();
        (params.signed_by(&key, &self.issuer).unwrap(), key)
    }

    /// What a client trusts.
    fn trusted(&self) -> ClientTlsConfig {
        ClientTlsConfig::new().ca_certificate(Certificate::from_pem(self.certificate.pem()))
    }

    fn identity(&self) -> Identity {
        let (certificate, key) = self.sign("caller");
        Identity::from_pem(certificate.pem(), key.serialize_pem())
    }
}

/// A gateway with a certificate for `gateway.test`, whose callers need one of the same authority's
/// if `mutual`; gives its port.
async fn start(authority: &Authority, mutual: bool) -> u16 {
    let (certificate, key) = authority.sign("gateway.test");
    let builder = ServerConfig::builder_with_provider(Arc::new(default_provider()))
        .with_safe_default_protocol_versions()
        .unwrap();
    let builder = if mutual {
        let mut roots = RootCertStore::empty();
        roots.add(authority.certificate.der().clone()).unwrap();
        let verifier = WebPkiClientVerifier::builder_with_provider(
            Arc::new(roots),
            Arc::new(default_provider()),
        );
        builder.with_client_cert_verifier(verifier.build().unwrap())
    } else {
        builder.with_no_client_auth()
    };
    let chain = vec![CertificateDer::from(certificate)];
    let key = PrivateKeyDer::try_from(key.serialize_der()).unwrap();
    let mut config = builder.with_single_cert(chain, key).unwrap();
    config.alpn_protocols = vec![b"h2".to_vec()];

    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let (sender, mut calls) = unbounded_channel();
    tokio::spawn(async move {
        let acceptor = TlsAcceptor::from(Arc::new(config));
        loop {
            let (io, _) = listener.accept().await.unwrap();
            if let Ok(io) = acceptor.accept(io).await {
                tokio::spawn(serve(io, sender.clone()));
            }
        }
    });
    tokio::spawn(async move {
        while let Some(call) = calls.recv().await {
            let mut answer = call.answer();
            answer.send(&ChatResponse::default());
            answer.end(Code::Ok, &[]);
        }
    });
    port
}

async fn chat(builder: ClientBuilder) -> Result<ChatResponse, Error> {
    builder.connect_lazy().unwrap().chat(ChatRequest::from("Hello")).await
}

#[tokio::test]
async fn tls_wants_a_trusted_authority_and_the_right_name() {
    let authority = Authority::new("ours");
    let target = format!("127.0.0.1:{}", start(&authority, false).await);
    let named = || authority.trusted().domain_name("gateway.test");
    chat(Client::builder(&target).tls(named())).await.unwrap();
    chat(Client::builder(format!("https://{target}")).tls(named())).await.unwrap();

    let stranger = Authority::new("another").trusted().domain_name("gateway.test");
    let failures = [
        (Client::builder(&target).tls(stranger), "UnknownIssuer"),
        (Client::builder(&target).tls(authority.trusted()), "not valid for name"),
    ];
    for (builder, words) in failures {
        let error = chat(builder).await.unwrap_err();
        assert_eq!(error.code(), Code::Unavailable);
        assert!(error.message().contains(words), "{error}");
    }
    // Plaintext to a TLS port is no call either.
    assert_eq!(chat(Client::builder(&target)).await.unwrap_err().code(), Code::Unavailable);
}

#[tokio::test]
async fn mtls_wants_a_certificate_of_the_callers() {
    let authority = Authority::new("ours");
    let target = format!("127.0.0.1:{}", start(&authority, true).await);
    let named = || authority.trusted().domain_name("gateway.test");
    chat(Client::builder(&target).tls(named().identity(authority.identity()))).await.unwrap();
    for tls in [named(), named().identity(Authority::new("another").identity())] {
        let error = chat(Client::builder(&target).tls(tls)).await.unwrap_err();
        assert_eq!(error.code(), Code::Unavailable, "{error}");
    }
}
