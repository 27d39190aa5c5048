// A wallet on @openid4vc/openid4vci against our authority: the authorization code flow with PAR, PKCE
// and DPoP, the pre-authorised code flow, both formats, and what the authority refuses. Reads
// {url, issuer, now, evidence, offer, txCode} and writes what it saw.
import { createHash, generateKeyPairSync, randomBytes, sign } from 'node:crypto'
import { readFileSync } from 'node:fs'
import { clientAuthenticationNone } from '@openid4vc/oauth2'
import { Openid4vciClient } from '@openid4vc/openid4vci'

const input = JSON.parse(readFileSync(0, 'utf8'))

// The authority's clock is the test's, and stands still.
const RealDate = Date
globalThis.Date = class extends RealDate {
  constructor(...parts) {
    parts.length === 0 ? super(input.now * 1000) : super(...parts)
  }
  static now() {
    return input.now * 1000
  }
}

// The issuer's name leads to where it listens.
const realFetch = globalThis.fetch
const fetch = (url, init) => realFetch(String(url).replace(input.issuer, input.url), { ...init, redirect: 'manual' })

const keys = new Map()
function key() {
  const { publicKey, privateKey } = generateKeyPairSync('ec', { namedCurve: 'P-256' })
  const { kty, crv, x, y } = publicKey.export({ format: 'jwk' })
  const jwk = { kty, crv, x, y }
  keys.set(x, privateKey)
  return { method: 'jwk', publicJwk: jwk, alg: 'ES256' }
}

const encode = (value) => Buffer.from(typeof value === 'string' ? value : JSON.stringify(value)).toString('base64url')

const callbacks = {
  fetch,
  hash: (data, alg) => createHash(alg.replace('-', '')).update(data).digest(),
  generateRandom: (length) => randomBytes(length),
  signJwt: (signer, { header, payload }) => {
    const body = `${encode(header)}.${encode(payload)}`
    const signature = sign('sha256', Buffer.from(body), {
      key: keys.get(signer.publicJwk.x),
      dsaEncoding: 'ieee-p1363',
    })
    return { jwt: `${body}.${signature.toString('base64url')}`, signerJwk: signer.publicJwk }
  },
  verifyJwt: () => ({ verified: false }),
  decryptJwe: () => ({ decrypted: false }),
  encryptJwe: () => {
    throw new Error('nothing is encrypted here')
  },
  clientAuthentication: clientAuthenticationNone({ clientId: 'peer' }),
}

const client = new Openid4vciClient({ callbacks })
const issuerMetadata = await client.resolveIssuerMetadata(input.issuer)
const server = issuerMetadata.authorizationServers[0]
const redirectUri = 'https://peer.example/cb'
const seen = { version: issuerMetadata.originalDraftVersion, refused: {} }

// What the authority says, when it refuses.
async function refused(name, work) {
  try {
    await work()
    seen.refused[name] = 'accepted'
  } catch (error) {
    const at = error.errorResponse ?? error.response?.credentialErrorResponseResult?.data
    const response = error.response?.response ?? error.response
    let code = at?.code
    if (!code && response?.clone) {
      code = await response.clone().json().then((body) => body.code, () => undefined)
    }
    seen.refused[name] = code ?? `by the client: ${error.constructor.name}`
  }
}

function offer(ids) {
  return { credential_issuer: input.issuer, credential_configuration_ids: ids, grants: { authorization_code: {} } }
}

async function ask(signer, ids) {
  return await client.initiateAuthorization({
    clientId: 'peer',
    redirectUri,
    scope: ids.join(' '),
    credentialOffer: offer(ids),
    issuerMetadata,
    dpop: { signer },
  })
}

// What the person's browser does: the page, the evidence, and back.
async function logIn(url) {
  const page = await fetch(url)
  if (page.status !== 200) throw new Error(`the page answers ${page.status}`)
  const query = new URL(url).searchParams
  const form = new URLSearchParams({
    client_id: query.get('client_id'),
    request_uri: query.get('request_uri'),
    evidence: JSON.stringify(input.evidence),
  })
  const answer = await fetch(`${input.issuer}/authorize`, { method: 'POST', body: form })
  if (answer.status !== 303) throw new Error(`the login answers ${answer.status}`)
  return answer.headers.get('location')
}

async function authorized(signer, ids) {
  const started = await ask(signer, ids)
  const back = await logIn(started.authorizationRequestUrl)
  const answer = client.parseAndVerifyAuthorizationResponseRedirectUrl({ url: back, authorizationServerMetadata: server })
  return { code: answer.code, back, verifier: started.pkce.codeVerifier }
}

async function redeem({ code, verifier }, signer, ids) {
  return await client.retrieveAuthorizationCodeAccessTokenFromOffer({
    credentialOffer: offer(ids),
    issuerMetadata,
    authorizationCode: code,
    pkceCodeVerifier: verifier,
    redirectUri,
    additionalRequestPayload: { client_id: 'peer' },
    dpop: { signer },
  })
}

async function proof(signer, nonce, metadata = issuerMetadata) {
  const made = await client.createCredentialRequestJwtProof({
    issuerMetadata: metadata,
    credentialConfigurationId: 'pid-sd-jwt-x5c',
    signer,
    nonce,
    issuedAt: new Date(),
  })
  return made.jwt
}

async function credentials(token, configuration, jwt) {
  const answer = await client.retrieveCredentials({
    issuerMetadata,
    credentialConfigurationId: configuration,
    accessToken: token.accessTokenResponse.access_token,
    proofs: { jwt },
    dpop: token.dpop,
  })
  return answer.credentialResponse
}

const nonce = async () => (await client.requestNonce({ issuerMetadata })).c_nonce

// ---- what works

const ids = ['pid-sd-jwt-x5c', 'pid-mdoc']
const holder = key()
const login = await authorized(holder, ids)
const token = await redeem(login, holder, ids)
seen.tokenType = token.accessTokenResponse.token_type
const holders = [key(), key()]
const fresh = await nonce()
const proofs = await Promise.all(holders.map((signer) => proof(signer, fresh)))
const issued = await credentials(token, 'pid-sd-jwt-x5c', proofs)
seen.sdJwt = issued.credentials.map((entry) => entry.credential)
const mdocs = await credentials(token, 'pid-mdoc', [await proof(holders[0], await nonce())])
seen.mdoc = mdocs.credentials.map((entry) => entry.credential)
await client.sendNotification({
  issuerMetadata,
  notification: { notificationId: issued.notification_id, event: 'credential_accepted' },
  accessToken: token.accessTokenResponse.access_token,
  dpop: token.dpop,
})
seen.notified = true

const preauthorized = await client.retrievePreAuthorizedCodeAccessTokenFromOffer({
  credentialOffer: input.offer,
  issuerMetadata,
  txCode: input.txCode,
  dpop: { signer: holder },
})
seen.preauthorizedType = preauthorized.accessTokenResponse.token_type

// ---- what does not

await refused('wrong transaction code', () =>
  client.retrievePreAuthorizedCodeAccessTokenFromOffer({
    credentialOffer: input.offer,
    issuerMetadata,
    txCode: '0',
    dpop: { signer: holder },
  }),
)
await refused('code used twice', () => redeem(login, holder, ids))
const again = await authorized(holder, ids)
await refused('another verifier', () => redeem({ ...again, verifier: 'x'.repeat(43) }, holder, ids))
const bound = await authorized(holder, ids)
await refused('another key for the code', () => redeem(bound, key(), ids))
await refused('unknown scope', () => ask(holder, ['pid-paper']))
await refused('another issuer in the answer', () =>
  client.parseAndVerifyAuthorizationResponseRedirectUrl({
    url: login.back.replace(encodeURIComponent(input.issuer), encodeURIComponent('https://other.example')),
    authorizationServerMetadata: server,
  }),
)

const next = await redeem(await authorized(holder, ids), holder, ids)
await refused('a nonce used twice', async () => {
  const jwt = await proof(holders[0], fresh)
  await credentials(next, 'pid-mdoc', [jwt])
})
await refused('a nonce of somebody else', async () => {
  await credentials(next, 'pid-mdoc', [await proof(holders[0], 'somebody-elses')])
})
await refused('a proof for another issuer', async () => {
  const elsewhere = {
    ...issuerMetadata,
    credentialIssuer: { ...issuerMetadata.credentialIssuer, credential_issuer: 'https://other.example' },
  }
  await credentials(next, 'pid-mdoc', [await proof(holders[0], await nonce(), elsewhere)])
})
await refused('a tampered proof', async () => {
  const jwt = await proof(holders[0], await nonce())
  await credentials(next, 'pid-mdoc', [jwt.slice(0, -4) + (jwt.endsWith('AAAA') ? 'BBBB' : 'AAAA')])
})
await refused('one key twice', async () => {
  const fresh = await nonce()
  await credentials(next, 'pid-mdoc', [await proof(holders[0], fresh), await proof(holders[0], fresh)])
})
await refused('what was not authorized', async () => {
  await credentials(next, 'pid-sd-jwt', [await proof(holders[0], await nonce())])
})
await refused('a stolen token', async () => {
  const jwt = await proof(holders[0], await nonce())
  await credentials({ ...next, dpop: { ...next.dpop, signer: key() } }, 'pid-mdoc', [jwt])
})
await refused('an unknown transaction', () =>
  client.retrieveDeferredCredentials({
    issuerMetadata,
    accessToken: next.accessTokenResponse.access_token,
    transactionId: 'unknown',
    dpop: next.dpop,
  }),
)
await refused('an unknown notification', () =>
  client.sendNotification({
    issuerMetadata,
    notification: { notificationId: 'unknown', event: 'credential_deleted' },
    accessToken: next.accessTokenResponse.access_token,
    dpop: next.dpop,
  }),
)

process.stdout.write(JSON.stringify(seen))
