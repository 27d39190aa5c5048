// The provider that oidc-provider.mjs drives. It tells its port over IPC, answers `cpu` with its
// processor time, and ends with its parent.

import { createPublicKey, generateKeyPairSync, randomBytes, verify } from "node:crypto";

import { Provider } from "oidc-provider";

const client = JSON.parse(process.env.BENCH_CLIENT);
const issuerKey = createPublicKey({ key: JSON.parse(process.env.BENCH_ISSUER_KEY), format: "jwk" });
const signing = generateKeyPairSync("ec", { namedCurve: "P-256" }).privateKey;

const provider = new Provider("http://127.0.0.1", {
  clients: [
    {
      client_id: client.id,
      client_secret: client.secret,
      redirect_uris: [client.redirect],
      id_token_signed_response_alg: "ES256",
    },
  ],
  jwks: { keys: [{ ...signing.export({ format: "jwk" }), use: "sig", kid: "1" }] },
  cookies: { keys: [randomBytes(32).toString("hex")] },
  features: { devInteractions: { enabled: false } },
  interactions: { url: (_, interaction) => `/interaction/${interaction.uid}` },
  findAccount: (_, id) => ({ accountId: id, claims: () => ({ sub: id }) }),
  // One page, as at a gate: who has shown a credential has agreed to sign in.
  async loadExistingGrant(ctx) {
    const { Grant } = ctx.oidc.provider;
    const grant = new Grant({
      clientId: ctx.oidc.client.clientId,
      accountId: ctx.oidc.session.accountId,
    });
    grant.addOIDCScope("openid");
    await grant.save();
    return grant;
  },
  ttl: { Interaction: 300, Session: 300, Grant: 300, AccessToken: 300, AuthorizationCode: 60, IdToken: 300 },
});

provider.use(async (ctx, next) => {
  if (ctx.method !== "POST" || !ctx.path.startsWith("/interaction/")) return next();
  const chunks = [];
  for await (const chunk of ctx.req) chunks.push(chunk);
  const shown = JSON.parse(Buffer.concat(chunks).toString());
  const holderKey = createPublicKey({ key: shown.holderKey, format: "jwk" });
  const holds = (data, key, signature) =>
    verify("sha256", Buffer.from(data), key, Buffer.from(signature, "base64url"));
  const right =
    holds(shown.credential, issuerKey, shown.credentialSignature) &&
    holds(ctx.path, holderKey, shown.holderSignature);
  if (!right) ctx.throw(400, "a signature does not fit");
  ctx.redirect(
    await provider.interactionResult(ctx.req, ctx.res, {
      login: { accountId: randomBytes(16).toString("hex") },
    }),
  );
  ctx.status = 303;
});

const listening = provider.listen(0, "127.0.0.1", () => {
  process.send({ port: listening.address().port });
});
process.on("message", () => process.send(process.cpuUsage()));
process.on("disconnect", () => process.exit(0));
