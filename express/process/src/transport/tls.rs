//! TLS 1.3 with pinned certificates.
//!
//! A server has a self-signed certificate, kept with its key in one file of mode 0600. The SHA-256 of the certificate stands on chain. A client
//! accepts the certificate with that fingerprint and no other: names, validity and authorities do not matter. The server still has to
//! prove in the handshake that it has the certificate's key.

use crate::files::{create_secret, read_secret, FileError};
use poq_primitives::commitment::Hash32;
use rustls::{
    client::{
        danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier},
        Resumption,
    },
    crypto::{ring, verify_tls13_signature, CryptoProvider},
    pki_types::{pem::PemObject as _, CertificateDer, PrivateKeyDer, ServerName, UnixTime},
    version::TLS13,
    CertificateError, ClientConfig, DigitallySignedStruct, Error, PeerIncompatible, ServerConfig,
    SignatureScheme,
};
use sha2::{Digest as _, Sha256};
use std::{path::Path, sync::Arc};

/// Name in the certificate, and in the client's hello. Nobody checks it.
pub(crate) const NAME: &str = "poq-express.invalid";

/// The one protocol that is spoken.
const ALPN: &[u8] = b"h2";

/// A certificate that cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum TlsError {
    /// The file cannot be used.
    #[error(transparent)]
    File(#[from] FileError),
    /// A certificate cannot be made.
    #[error("a certificate cannot be made: {0}")]
    Make(#[from] rcgen::Error),
    /// The TLS library does not take the certificate or its key.
    #[error("the certificate or its key cannot be used: {0}")]
    Use(#[from] Error),
}

/// A certificate and its key.
pub struct Identity {
    certificate: CertificateDer<'static>,
    key: PrivateKeyDer<'static>,
}

/// SHA-256 of a certificate.
pub fn fingerprint(certificate: &[u8]) -> Hash32 {
    Sha256::digest(certificate).into()
}

impl Identity {
    /// A new certificate with a new key, valid for ever: a new one means a new fingerprint on chain.
    ///
    /// # Errors
    /// [`TlsError::Make`].
    pub fn new() -> Result<Self, TlsError> {
        Self::read(Path::new(""), Self::make()?.as_bytes())
    }

    /// Certificate and key in the file `path`, which is made (mode 0600) if it is not there.
    ///
    /// # Errors
    /// [`TlsError`].
    pub fn load_or_create(path: &Path) -> Result<Self, TlsError> {
        if !path.exists() {
            create_secret(path, Self::make()?.as_bytes())?;
        }
        Self::read(path, &read_secret(path)?)
    }

    fn make() -> Result<String, TlsError> {
        let made = rcgen::generate_simple_self_signed([NAME.to_owned()])?;
        Ok(format!("{}{}", made.cert.pem(), made.signing_key.serialize_pem()))
    }

    fn read(path: &Path, pem: &[u8]) -> Result<Self, TlsError> {
        let fault = |fault| FileError::Content { path: path.to_owned(), fault };
        let certificate = CertificateDer::from_pem_slice(pem)
            .map_err(|_| fault("holds no certificate in PEM; remove it to get a new one"))?;
        let key = PrivateKeyDer::from_pem_slice(pem)
            .map_err(|_| fault("holds no key in PEM; remove it to get a new certificate"))?;
        Ok(Self { certificate, key })
    }

    /// SHA-256 of the certificate, as it stands on chain.
    pub fn fingerprint(&self) -> Hash32 {
        fingerprint(&self.certificate)
    }

    /// The server's side of TLS.
    ///
    /// # Errors
    /// [`TlsError::Use`].
    pub fn server(&self) -> Result<Arc<ServerConfig>, TlsError> {
        let builder = ServerConfig::builder_with_provider(provider()).with_protocol_versions(&[&TLS13])?;
        let chain = vec![self.certificate.clone()];
        let mut config = builder.with_no_client_auth().with_single_cert(chain, self.key.clone_key())?;
        config.alpn_protocols = vec![ALPN.to_vec()];
        // Connections are kept, and a hello belongs to one session: resuming one saves nothing.
        config.send_tls13_tickets = 0;
        Ok(Arc::new(config))
    }
}

/// The client's side of TLS to the server with this fingerprint.
///
/// # Errors
/// [`TlsError::Use`]: never, with this provider.
pub fn client(fingerprint: Hash32) -> Result<Arc<ClientConfig>, TlsError> {
    let provider = provider();
    let builder = ClientConfig::builder_with_provider(provider.clone()).with_protocol_versions(&[&TLS13])?;
    let verifier = Arc::new(Pinned { fingerprint, provider });
    let mut config = builder.dangerous().with_custom_certificate_verifier(verifier).with_no_client_auth();
    config.alpn_protocols = vec![ALPN.to_vec()];
    config.resumption = Resumption::disabled();
    Ok(Arc::new(config))
}

fn provider() -> Arc<CryptoProvider> {
    Arc::new(ring::default_provider())
}

/// Accepts one certificate.
#[derive(Debug)]
struct Pinned {
    fingerprint: Hash32,
    provider: Arc<CryptoProvider>,
}

impl ServerCertVerifier for Pinned {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        _: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        if fingerprint(end_entity) == self.fingerprint {
            return Ok(ServerCertVerified::assertion());
        }
        Err(Error::InvalidCertificate(CertificateError::ApplicationVerificationFailure))
    }

    fn verify_tls12_signature(
        &self,
        _: &[u8],
        _: &CertificateDer<'_>,
        _: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        Err(Error::PeerIncompatible(PeerIncompatible::Tls12NotOffered))
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        let algorithms = &self.provider.signature_verification_algorithms;
        verify_tls13_signature(message, certificate, signature, algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.provider.signature_verification_algorithms.supported_schemes()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::PermissionsExt as _;

    #[test]
    fn a_certificate_is_made_once_and_private() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("tls.pem");
        let made = Identity::load_or_create(&path).unwrap();
        let mode = std::fs::metadata(&path).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
        assert_eq!(Identity::load_or_create(&path).unwrap().fingerprint(), made.fingerprint());
        assert_ne!(Identity::new().unwrap().fingerprint(), made.fingerprint());
        assert!(made.server().is_ok() && client(made.fingerprint()).is_ok());
    }
}
