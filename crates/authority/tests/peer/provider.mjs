// An identity provider of others, oidc-provider, at which people log in without a password: the header
// `x-account` says who they are. Its one argument is JSON: {clientId, clientSecret, redirectUri}. It
// writes {issuer} on one line and ends with its standard input.
import { generateKeyPairSync, randomBytes } from 'node:crypto'
import { createServer } from 'node:http'
import { Provider } from 'oidc-provider'

// Nobody reads standard output after the first line.
console.info = console.warn

const { clientId, clientSecret, redirectUri } = JSON.parse(process.argv[2])
const people = {
  ilsabet: { given_name: 'Ilsabet', family_name: 'Vanderquist', birthdate: '1988-02-29', gender: 'female' },
  yearless: { given_name: 'Pelagiya', family_name: 'Zhivorad', birthdate: '0000-12-31' },
}

const server = createServer()
server.listen(0, '127.0.0.1', () => {
  const issuer = `http://127.0.0.1:${server.address().port}`
  const key = generateKeyPairSync('ec', { namedCurve: 'P-256' }).privateKey
  const provider = new Provider(issuer, {
    clients: [
      {
        client_id: clientId,
        client_secret: clientSecret,
        redirect_uris: [redirectUri],
        id_token_signed_response_alg: 'ES256',
      },
    ],
    jwks: { keys: [{ ...key.export({ format: 'jwk' }), use: 'sig', kid: '1' }] },
    cookies: { keys: [randomBytes(32).toString('hex')] },
    claims: { openid: ['sub'], profile: ['given_name', 'family_name', 'birthdate', 'gender'] },
    features: { devInteractions: { enabled: false } },
    pkce: { required: () => true },
    interactions: { url: (_, interaction) => `/interaction/${interaction.uid}` },
    findAccount: (_, id) => ({ accountId: id, claims: () => ({ sub: id, ...people[id] }) }),
    async loadExistingGrant(ctx) {
      const { Grant } = ctx.oidc.provider
      const grant = new Grant({ clientId: ctx.oidc.client.clientId, accountId: ctx.oidc.session.accountId })
      grant.addOIDCScope('openid profile')
      await grant.save()
      return grant
    },
  })
  provider.use(async (ctx, next) => {
    if (!ctx.path.startsWith('/interaction/')) return next()
    const account = ctx.get('x-account')
    const result = account
      ? { login: { accountId: account } }
      : { error: 'access_denied', error_description: 'nobody logged in' }
    ctx.redirect(await provider.interactionResult(ctx.req, ctx.res, result))
    ctx.status = 303
  })
  server.on('request', provider.callback())
  console.log(JSON.stringify({ issuer }))
})
process.stdin.resume()
process.stdin.on('end', () => process.exit(0))
