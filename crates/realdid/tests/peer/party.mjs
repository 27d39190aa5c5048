// Credo as an issuer and a verifier: offers over OpenID4VCI 1.0 and asks over OpenID4VP 1.0. Its one
// argument is the port to listen on. Commands and answers are lines of JSON (agent.mjs).
import { ClaimFormat, DidDocument, JsonTransformer, X509KeyUsage } from '@credo-ts/core'
import express from 'express'
import { createServer } from 'node:http'
import { key, serve, start } from './agent.mjs'

const port = Number(process.argv[2])
const base = `http://localhost:${port}`
const vct = 'https://credo.example/member'
const pid = 'urn:realdid:pid:1'
const doctype = 'org.iso.18013.5.1.mDL'
const nameSpace = 'org.iso.18013.5.1'

const app = express()
// What the next credential is to be like, and what is wrong with it.
let making = {}

const agent = await start({
  app,
  issuer: { baseUrl: `${base}/issuer`, credentialRequestToCredentialMapper: (request) => credentials(request) },
  verifier: { baseUrl: `${base}/verifier` },
})
const { issuer, verifier } = agent.openid4vc

// ---- certificates

async function root(name) {
  const authorityKey = await key(agent)
  const certificate = await agent.x509.createCertificate({
    authorityKey,
    issuer: { countryName: 'UT', commonName: name },
    extensions: {
      basicConstraints: { ca: true, pathLenConstraint: 0, markAsCritical: true },
      keyUsage: { usages: [X509KeyUsage.KeyCertSign, X509KeyUsage.CrlSign], markAsCritical: true },
      subjectKeyIdentifier: { include: true },
    },
    validity: { notBefore: new Date(Date.now() - 86_400_000), notAfter: new Date(Date.now() + 86_400_000) },
  })
  return { authorityKey, certificate, issuer: certificate.issuer }
}

// A leaf for what is at `url`.
async function leaf({ authorityKey, certificate, issuer }, url = base, validity = {}) {
  const subjectPublicKey = await key(agent)
  const made = await agent.x509.createCertificate({
    authorityKey,
    issuer,
    subjectPublicKey,
    subject: { countryName: 'UT', commonName: 'Credo' },
    extensions: {
      authorityKeyIdentifier: { include: true },
      subjectKeyIdentifier: { include: true },
      keyUsage: { usages: [X509KeyUsage.DigitalSignature], markAsCritical: true },
      subjectAlternativeName: {
        name: [
          { type: 'dns', value: new URL(url).hostname },
          { type: 'url', value: url },
        ],
      },
    },
    validity: {
      notBefore: new Date(Date.now() - 3_600_000),
      notAfter: new Date(Date.now() + 3_600_000),
      ...validity,
    },
  })
  made.publicJwk.keyId = subjectPublicKey.keyId
  return made
}

const roots = { known: await root('Credo CA'), strange: await root('Another CA') }
const leaves = {
  known: await leaf(roots.known),
  strange: await leaf(roots.strange),
  'for another address': await leaf(roots.known, 'https://elsewhere.example'),
  expired: await leaf(roots.known, base, { notAfter: new Date(Date.now() - 60_000) }),
}

// ---- the issuer

const issuerUrl = `${base}/issuer/credo`
await issuer.createIssuer({
  issuerId: 'credo',
  batchCredentialIssuance: { batchSize: 10 },
  credentialConfigurationsSupported: {
    member: {
      format: 'dc+sd-jwt',
      vct,
      scope: 'member',
      cryptographic_binding_methods_supported: ['jwk'],
      credential_signing_alg_values_supported: ['ES256'],
      proof_types_supported: { jwt: { proof_signing_alg_values_supported: ['ES256'] } },
    },
    pid: {
      format: 'dc+sd-jwt',
      vct: pid,
      scope: 'pid',
      cryptographic_binding_methods_supported: ['jwk'],
      credential_signing_alg_values_supported: ['ES256'],
      proof_types_supported: { jwt: { proof_signing_alg_values_supported: ['ES256'] } },
    },
    licence: {
      format: 'mso_mdoc',
      doctype,
      scope: 'licence',
      cryptographic_binding_methods_supported: ['cose_key'],
      credential_signing_alg_values_supported: [-7],
      proof_types_supported: { jwt: { proof_signing_alg_values_supported: ['ES256'] } },
    },
  },
})

// Whom a credential says that it is from.
const names = { itself: issuerUrl, another: `${base}/issuer/another`, nobody: undefined }

async function credentials({ holderBinding, credentialConfiguration }) {
  const certificate = leaves[making.certificate ?? 'known']
  const own = ({ jwk }) => (making.otherHolder ? key(agent) : jwk)
  const keys = await Promise.all(holderBinding.keys.map(own))
  const seconds = Math.floor(Date.now() / 1000)
  const until = seconds + (making.lifeS ?? 600)
  if (credentialConfiguration.format === 'mso_mdoc') {
    return {
      type: 'credentials',
      format: ClaimFormat.MsoMdoc,
      credentials: keys.map((jwk) => ({
        docType: doctype,
        holderKey: jwk,
        issuerCertificate: certificate,
        namespaces: { [nameSpace]: { given_name: 'Perpetua', family_name: 'Quillfeather', age_over_18: true } },
        validityInfo: {
          signed: new Date((seconds - 600) * 1000),
          validFrom: new Date((seconds - 600) * 1000),
          validUntil: new Date(until * 1000),
        },
      })),
    }
  }
  return {
    type: 'credentials',
    format: ClaimFormat.SdJwtDc,
    credentials: keys.map((jwk) => ({
      payload: {
        vct: credentialConfiguration.vct,
        given_name: 'Perpetua',
        level: 'gold',
        since: 2019,
        exp: until,
        ...(making.laterS && { nbf: seconds + making.laterS }),
      },
      holder: { method: 'jwk', jwk },
      issuer: { method: 'x5c', x5c: [certificate], issuer: names[making.names ?? 'itself'] },
      disclosureFrame: { _sd: ['given_name', 'level', 'since'] },
    })),
  }
}

// ---- the verifier

await verifier.createVerifier({ verifierId: 'credo' })

// DIDs that requests are signed by, each with the DID URL of its key. The document of the last stands at this
// server.
async function didOf(method) {
  const { didState } = await agent.dids.create({ method, options: { keyId: (await key(agent)).keyId } })
  if (didState.state !== 'finished') throw new Error(didState.reason)
  return { did: didState.did, didUrl: didState.didDocument.authentication[0] }
}

async function webDid() {
  const did = `did:web:localhost%3A${port}`
  const didUrl = `${did}#key-1`
  const own = await key(agent)
  const document = {
    '@context': ['https://www.w3.org/ns/did/v1', 'https://w3id.org/security/suites/jws-2020/v1'],
    id: did,
    verificationMethod: [{ id: didUrl, type: 'JsonWebKey2020', controller: did, publicKeyJwk: own.toJson() }],
    authentication: [didUrl],
  }
  const keys = [{ didDocumentRelativeKeyId: '#key-1', kmsKeyId: own.keyId }]
  await agent.dids.import({ did, didDocument: JsonTransformer.fromJSON(document, DidDocument), keys })
  app.get('/.well-known/did.json', (_, response) => response.json(document))
  return { did, didUrl }
}

const dids = { jwk: await didOf('jwk'), key: await didOf('key'), web: await webDid() }

// By what a request names who signs it.
function signer(as, certificate) {
  if (as === 'redirect_uri') return { method: 'none' }
  if (dids[as]) return { method: 'did', didUrl: dids[as].didUrl }
  return { method: 'x5c', x5c: [leaves[certificate]], clientIdPrefix: as }
}

const queries = {
  member: (claims) => ({
    id: 'member',
    format: 'dc+sd-jwt',
    meta: { vct_values: [vct] },
    claims: claims.map((name) => ({ path: [name] })),
  }),
  licence: (claims) => ({
    id: 'licence',
    format: 'mso_mdoc',
    meta: { doctype_value: doctype },
    claims: claims.map((name) => ({ path: [nameSpace, name] })),
  }),
  // The PID of a network of ours.
  resident: (claims) => ({
    id: 'resident',
    format: 'dc+sd-jwt',
    meta: { vct_values: ['urn:realdid:pid:1'] },
    claims: claims.map((path) => ({ path })),
  }),
  pid: (claims) => ({
    id: 'pid',
    format: 'dc+sd-jwt',
    meta: { vct_values: ['urn:eudi:pid:1'] },
    claims: claims.map((path) => ({ path })),
  }),
}

const commands = {
  // An offer of these configurations; `wrong` is what is wrong with what comes.
  offer: async ({ configurations, wrong }) => {
    making = wrong ?? {}
    const { credentialOffer, issuanceSession } = await issuer.createCredentialOffer({
      issuerId: 'credo',
      credentialConfigurationIds: configurations,
      preAuthorizedCodeFlowConfig: { txCode: { input_mode: 'numeric', length: 5 } },
      version: 'v1',
    })
    return { offer: credentialOffer, txCode: issuanceSession.userPin, session: issuanceSession.id }
  },

  issued: async ({ session }) => {
    const { state } = await issuer.getIssuanceSessionById(session)
    return { state }
  },

  // A request for claims of a credential; `as` is the prefix of the client's id, or the method of a DID.
  ask: async ({ of, claims, as = 'x509_hash', certificate = 'known', mode = 'direct_post.jwt', query, expiresS }) => {
    const { authorizationRequest, verificationSession } = await verifier.createAuthorizationRequest({
      verifierId: 'credo',
      requestSigner: signer(as, certificate),
      responseMode: mode,
      version: 'v1',
      expirationInSeconds: expiresS,
      dcql: { query: { credentials: [{ ...queries[of](claims), ...query }] } },
    })
    return { request: authorizationRequest, session: verificationSession.id }
  },

  // What came of a request.
  asked: async ({ session }) => {
    const record = await verifier.getVerificationSessionById(session)
    if (record.state !== 'ResponseVerified') return { state: record.state, error: record.errorMessage ?? null }
    const { dcql } = await verifier.getVerifiedAuthorizationResponse(session)
    const shown = Object.values(dcql.presentations).flat()
    return { state: record.state, claims: shown.map((one) => one.prettyClaims ?? one.documents[0].issuerSignedNamespaces) }
  },

  // Whose credentials the verifier takes, PEM.
  trust: ({ roots }) => {
    agent.x509.config.setTrustedCertificates(roots)
  },
}

const pem = ({ certificate }) => certificate.toString('pem')
agent.x509.config.setTrustedCertificates([pem(roots.known)])
await new Promise((listening) => createServer(app).listen(port, '127.0.0.1', listening))
await serve(commands, {
  issuer: issuerUrl,
  root: pem(roots.known),
  strange: pem(roots.strange),
  dids: Object.fromEntries(Object.entries(dids).map(([method, { did }]) => [method, did])),
})
