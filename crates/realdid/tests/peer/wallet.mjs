// Credo as a wallet: receives over OpenID4VCI 1.0 and presents over OpenID4VP 1.0. Commands and answers
// are lines of JSON (agent.mjs).
import { ClaimFormat, DcqlService, SdJwtVcRecord } from '@credo-ts/core'
import { key, serve, start } from './agent.mjs'

const agent = await start()
const holder = agent.openid4vc.holder
const redirectUri = 'http://127.0.0.1:9/cb'
const clientId = 'credo'

// Tokens of earlier commands, by name, to use them once more.
const known = new Map()
const nonces = new Map()

// Credo makes what is presented in one step and encrypts it in the next: between the two it is spoilt.
const dcql = agent.dependencyManager.resolve(DcqlService)
const make = dcql.createPresentation.bind(dcql)
let spoil
dcql.createPresentation = async (context, options) => {
  const made = await make(context, options)
  for (const [id, [shown]] of Object.entries(made.encodedDcqlPresentation)) {
    made.encodedDcqlPresentation[id] = [spoil ? spoil(shown) : shown]
    if (!spoil) earlier = shown
  }
  return made
}
let earlier

const commands = {
  // The roots that are trusted from now on, PEM.
  trust: ({ roots }) => {
    agent.x509.config.setTrustedCertificates(roots)
  },

  // What an issuer says about itself, as Credo understands it.
  issuer: async ({ issuer }) => {
    const metadata = await holder.resolveIssuerMetadata(issuer)
    return { version: metadata.originalDraftVersion, configurations: Object.keys(metadata.knownCredentialConfigurations) }
  },

  // By a pre-authorised code with its transaction code.
  receive: async ({ offer, txCode, ...what }) => {
    const resolvedCredentialOffer = await holder.resolveCredentialOffer(link(offer))
    const token = await holder.requestToken({ resolvedCredentialOffer, txCode })
    return await take(resolvedCredentialOffer, token, what)
  },

  // By an authorization code, for somebody with this evidence: pushed, with PKCE and DPoP.
  authorize: async ({ issuer, configurations, scope, evidence, wrong, ...what }) => {
    const resolvedCredentialOffer = await holder.resolveCredentialOffer(
      link({
        credential_issuer: issuer,
        credential_configuration_ids: configurations,
        grants: { authorization_code: {} },
      }),
    )
    const asked = await holder.resolveOpenId4VciAuthorizationRequest(resolvedCredentialOffer, {
      clientId,
      redirectUri,
      scope: scope ?? configurations,
    })
    const { authorizationCode } = holder.parseAuthorizationCodeFromAuthorizationResponse({
      resolvedCredentialOffer,
      authorizationResponseRedirectUrl: await logIn(issuer, asked.authorizationRequestUrl, evidence),
    })
    const redeem = () =>
      holder.requestToken({
        resolvedCredentialOffer,
        code: authorizationCode,
        clientId,
        redirectUri,
        codeVerifier: wrong === 'verifier' ? 'x'.repeat(43) : asked.codeVerifier,
        dpop: wrong === 'key' ? undefined : asked.dpop,
      })
    const token = await redeem()
    if (wrong === 'code used twice') await redeem()
    return await take(resolvedCredentialOffer, token, { ...what, configurations, wrong, clientId })
  },

  // Once more with the token of an earlier command, or with one for its refresh token.
  again: async ({ from, refresh, wrong, ...what }) => {
    const { resolvedCredentialOffer, token, clientId } = known.get(from)
    const dpop = wrong === 'key' ? { alg: 'ES256', jwk: await key(agent) } : token.dpop
    const fresh = refresh
      ? await holder.refreshToken({
          issuerMetadata: resolvedCredentialOffer.metadata,
          refreshToken: token.refreshToken,
          dpop,
          clientId,
        })
      : {}
    const { accessToken } = { ...token, ...fresh }
    return await take(resolvedCredentialOffer, { ...token, accessToken, dpop }, { ...what, wrong, clientId })
  },

  // A credential that nobody issued, of this type and in this issuer's name.
  forge: async ({ iss, vct, claims }) => {
    const own = await key(agent)
    const certificate = await agent.x509.createCertificate({
      authorityKey: own,
      issuer: { commonName: 'Forger' },
      extensions: { subjectAlternativeName: { name: [{ type: 'url', value: iss }] } },
    })
    certificate.publicJwk.keyId = own.keyId
    const jwk = await key(agent)
    const made = await agent.sdJwtVc.sign({
      payload: { vct, ...claims, exp: Math.floor(Date.now() / 1000) + 60 },
      holder: { method: 'jwk', jwk },
      issuer: { method: 'x5c', x5c: [certificate], issuer: iss },
      disclosureFrame: { _sd: Object.keys(claims) },
    })
    await forget()
    const instance = { compactSdJwtVc: made.compact, kmsKeyId: jwk.keyId }
    await agent.sdJwtVc.store({ record: new SdJwtVcRecord({ credentialInstances: [instance] }) })
  },

  // Answers a request by what is in the wallet. `wrong` names what is wrong with the answer. A request that came
  // through a browser, from a page of this origin, is answered to the browser: the answer is `shown` here.
  present: async ({ request, format = 'dc+sd-jwt', wrong, origin }) => {
    const resolved = await holder.resolveOpenId4VpAuthorizationRequest(request, { origin })
    const query = resolved.dcql.queryResult
    const { id } = query.credentials.find((one) => one.format === format)
    const match = query.credential_matches[id]
    if (!match.success) throw new Error('nothing in the wallet answers this')
    const credential = dcql.dcqlCredentialForRequestForValidCredential(match.valid_credentials[0])
    const payload = structuredClone(resolved.authorizationRequestPayload)
    const how = spoils[wrong] ?? {}
    await how.request?.(payload)
    how.select?.(credential)
    spoil = how.shown
    const now = Date.now
    if (how.laterS) Date.now = () => now() + how.laterS * 1000
    const answer = async () => {
      const { serverResponse, authorizationResponse } = await holder.acceptOpenId4VpAuthorizationRequest({
        authorizationRequestPayload: payload,
        dcql: { credentials: { [id]: [credential] } },
        origin: wrong === 'another page' ? 'https://other.example' : origin,
      })
      return serverResponse ?? { shown: authorizationResponse }
    }
    try {
      let said = await answer()
      if (wrong === 'twice') said = await answer()
      return { client: resolved.verifier.clientIdPrefix, mode: payload.response_mode, ...said }
    } finally {
      Date.now = now
      spoil = undefined
    }
  },
}

// One letter changed for another.
const changed = (text, at) => text.slice(0, at) + (text[at] === 'A' ? 'B' : 'A') + text.slice(at + 1)
const bound = (text) => text.lastIndexOf('~') + 1

// The first disclosure says something else.
function redisclosed(text) {
  const [jwt, first, ...rest] = text.split('~')
  const [salt, name] = JSON.parse(Buffer.from(first, 'base64url'))
  const other = Buffer.from(JSON.stringify([salt, name, 'something else'])).toString('base64url')
  return [jwt, other, ...rest].join('~')
}

const spoils = {
  nonce: { request: (payload) => (payload.nonce = 'another-nonce') },
  audience: { request: (payload) => (payload.client_id = 'x509_hash:somebody-else') },
  state: { request: (payload) => (payload.state = 'another-state') },
  'in the clear': { request: (payload) => (payload.response_mode = 'direct_post') },
  'to another key': {
    request: async (payload) => {
      const [asked] = payload.client_metadata.jwks.keys
      const { x, y } = (await key(agent)).toJson()
      Object.assign(asked, { x, y })
    },
  },
  'issuer signature': { shown: (text) => changed(text, text.indexOf('~') - 20) },
  disclosure: { shown: redisclosed },
  'no key binding': { shown: (text) => text.slice(0, bound(text)) },
  'key binding of an earlier login': { shown: (text) => text.slice(0, bound(text)) + earlier.slice(bound(earlier)) },
  'taken away after binding': { shown: (text) => text.slice(0, text.indexOf('~') + 1) + text.slice(bound(text)) },
  'made too early': { laterS: -900 },
  'made in the future': { laterS: 900 },
  'less than asked': { select: (credential) => delete credential.disclosedPayload.given_name },
  'more than asked': {
    select: (credential) => {
      const { prettyClaims, issuerSignedNamespaces } = credential.credentialRecord.firstCredential
      credential.disclosedPayload = prettyClaims ?? issuerSignedNamespaces
    },
  },
}

const link = (offer) => `openid-credential-offer://?credential_offer=${encodeURIComponent(JSON.stringify(offer))}`

// The person's browser: the page, the evidence, and back.
async function logIn(issuer, url, evidence) {
  const page = await fetch(url)
  if (page.status !== 200) throw new Error(`the page answers ${page.status}`)
  const query = new URL(url).searchParams
  const form = new URLSearchParams({
    client_id: query.get('client_id'),
    request_uri: query.get('request_uri'),
    evidence: JSON.stringify(evidence),
  })
  const answer = await fetch(`${issuer}/authorize`, { method: 'POST', body: form, redirect: 'manual' })
  if (answer.status !== 303) throw new Error(`the login answers ${answer.status}`)
  return answer.headers.get('location')
}

// What is in the wallet is forgotten, for others to take its place.
async function forget() {
  for (const { id } of await agent.sdJwtVc.getAll()) await agent.sdJwtVc.deleteById(id)
  for (const { id } of await agent.mdoc.getAll()) await agent.mdoc.deleteById(id)
}

// Asks for copies of the configurations, each with a key of its own, and stores them.
async function take(resolvedCredentialOffer, token, { name, configurations, copies = 1, clientId, wrong }) {
  let cNonce
  if (wrong === 'nonce used twice') cNonce = nonces.get('used')
  if (wrong === "somebody else's nonce") cNonce = 'somebody-elses'
  let offered = resolvedCredentialOffer
  if (wrong === 'for another issuer') {
    offered = structuredClone(resolvedCredentialOffer)
    offered.metadata.credentialIssuer.credential_issuer = 'https://other.example'
  }
  let dpop = token.dpop
  const received = {}
  // One after the other: Credo asks for a nonce once, where an issuer of 1.0 gives one to each request.
  for (const configuration of configurations) {
    const answer = await holder.requestCredentials({
      resolvedCredentialOffer: offered,
      accessToken: token.accessToken,
      cNonce,
      dpop,
      clientId,
      credentialConfigurationIds: [configuration],
      credentialBindingResolver: async ({ cNonce, issuerMaxBatchSize }) => {
        nonces.set('used', cNonce)
        const one = await key(agent)
        const more = Array.from({ length: Math.min(copies, issuerMaxBatchSize) - 1 }, () => key(agent))
        const keys = wrong === 'one key twice' ? [one, one] : [one, ...(await Promise.all(more))]
        return { method: 'jwk', keys }
      },
    })
    dpop = answer.dpop
    const [{ record, credentialConfigurationId, notificationId }] = answer.credentials
    const store = record.type === 'MdocRecord' ? agent.mdoc : agent.sdJwtVc
    await store.store({ record })
    const first = record.firstCredential
    received[credentialConfigurationId] = {
      copies: record.credentialInstances.length,
      claims: first.claimFormat === ClaimFormat.MsoMdoc ? first.issuerSignedNamespaces : first.prettyClaims,
    }
    if (notificationId) {
      await holder.sendNotification({
        metadata: resolvedCredentialOffer.metadata,
        accessToken: token.accessToken,
        dpop,
        notificationId,
        notificationEvent: 'credential_accepted',
      })
      received[credentialConfigurationId].notified = true
    }
  }
  known.set(name, { resolvedCredentialOffer, token: { ...token, dpop }, clientId })
  return { tokenType: token.accessTokenResponse.token_type, refreshable: token.refreshToken !== undefined, received }
}

await serve(commands, {})
