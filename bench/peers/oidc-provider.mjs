// Peer for `login_http`: oidc-provider, code flow with PKCE over real HTTP on loopback, by 64 people step by
// step.
//
// The provider runs in a process of its own (oidc-provider-server.mjs) and only its processor time
// counts. Each login is a new browser: authorize, a login step that verifies the two P-256
// signatures that a gate verifies (the issuer's and the holder's), back to authorize, token. The ID
// token is signed with ES256.

import { fork } from "node:child_process";
import { createHash, generateKeyPairSync, randomBytes, sign } from "node:crypto";
import http from "node:http";

import { SECONDS, cpuSeconds, repeatFor, report, versionOf } from "./measure.mjs";

const PARALLEL = 64;
const CLIENT = { id: "bench", secret: "bench-secret-of-no-value-32-chars" };
const REDIRECT = "http://127.0.0.1:1/callback";

const issuer = generateKeyPairSync("ec", { namedCurve: "P-256" });
const credential = "a credential of the usual length ".repeat(40);
const credentialSignature = sign("sha256", Buffer.from(credential), issuer.privateKey);

const server = fork(new URL("./oidc-provider-server.mjs", import.meta.url), {
  env: {
    ...process.env,
    NODE_ENV: "production",
    BENCH_CLIENT: JSON.stringify({ ...CLIENT, redirect: REDIRECT }),
    BENCH_ISSUER_KEY: JSON.stringify(issuer.publicKey.export({ format: "jwk" })),
  },
});
const answers = [];
server.on("message", (message) => answers.shift()?.(message));
server.on("exit", (code) => {
  if (code) process.exit(code);
});
const ask = (question) =>
  new Promise((resolve) => {
    answers.push(resolve);
    if (question) server.send(question);
  });
const { port } = await ask();

const agent = new http.Agent({ keepAlive: true, maxSockets: PARALLEL });

function request(method, path, { headers = {}, body, cookies } = {}) {
  return new Promise((resolve, reject) => {
    if (cookies?.size) {
      headers.cookie = [...cookies].map(([name, value]) => `${name}=${value}`).join("; ");
    }
    const sent = http.request(
      { host: "127.0.0.1", port, method, path, headers, agent },
      (response) => {
        const chunks = [];
        response.on("data", (chunk) => chunks.push(chunk));
        response.on("end", () => {
          for (const line of response.headers["set-cookie"] ?? []) {
            const [, name, value] = /^([^=]+)=([^;]*)/.exec(line);
            if (value) cookies?.set(name, value);
            else cookies?.delete(name);
          }
          resolve({
            status: response.statusCode,
            location: response.headers.location,
            body: Buffer.concat(chunks).toString(),
          });
        });
      },
    );
    sent.on("error", reject);
    sent.end(body);
  });
}

function pathOf(location) {
  const url = new URL(location, `http://127.0.0.1:${port}`);
  return url.pathname + url.search;
}

function expect(step, answer, status) {
  if (answer.status !== status) throw new Error(`${step}: ${answer.status} ${answer.body}`);
  return answer;
}

// Each step begins when all have done the one before, so that the provider has a rush of 64 requests and is
// not woken for each.
let waiting = [];
function inStep() {
  return new Promise((resolve) => {
    waiting.push(resolve);
    if (waiting.length < PARALLEL) return;
    for (const go of waiting.splice(0)) go();
  });
}

async function login(holder) {
  const cookies = new Map();
  const verifier = randomBytes(32).toString("base64url");
  const query = new URLSearchParams({
    client_id: CLIENT.id,
    redirect_uri: REDIRECT,
    response_type: "code",
    scope: "openid",
    state: randomBytes(16).toString("base64url"),
    nonce: randomBytes(16).toString("base64url"),
    code_challenge: createHash("sha256").update(verifier).digest("base64url"),
    code_challenge_method: "S256",
  });
  const asked = expect("authorize", await request("GET", `/auth?${query}`, { cookies }), 303);
  const interaction = pathOf(asked.location);
  const proof = {
    credential,
    credentialSignature: credentialSignature.toString("base64url"),
    holderKey: holder.jwk,
    holderSignature: sign("sha256", Buffer.from(interaction), holder.privateKey).toString(
      "base64url",
    ),
  };
  await inStep();
  const shown = await request("POST", interaction, {
    cookies,
    headers: { "content-type": "application/json" },
    body: JSON.stringify(proof),
  });
  const back = expect("login step", shown, 303);
  await inStep();
  const again = await request("GET", pathOf(back.location), { cookies });
  const code = new URL(expect("authorize again", again, 303).location).searchParams.get("code");
  await inStep();
  const token = await request("POST", "/token", {
    headers: {
      "content-type": "application/x-www-form-urlencoded",
      authorization: `Basic ${Buffer.from(`${CLIENT.id}:${CLIENT.secret}`).toString("base64")}`,
    },
    body: new URLSearchParams({
      grant_type: "authorization_code",
      code,
      redirect_uri: REDIRECT,
      code_verifier: verifier,
    }).toString(),
  });
  if (!JSON.parse(expect("token", token, 200).body).id_token) throw new Error("no ID token");
}

const holders = Array.from({ length: PARALLEL }, () => {
  const pair = generateKeyPairSync("ec", { namedCurve: "P-256" });
  return { privateKey: pair.privateKey, jwk: pair.publicKey.export({ format: "jwk" }) };
});

async function loginsFor(seconds) {
  const rounds = await repeatFor(seconds, () => Promise.all(holders.map(login)));
  return rounds * PARALLEL;
}

// Whoever asks never sleeps, so that the provider does not pay for waking them.
let asking = true;
(function stayAwake() {
  if (asking) setImmediate(stayAwake);
})();
await loginsFor(SECONDS / 2);
const before = await ask("cpu");
const logins = await loginsFor(SECONDS);
const after = await ask("cpu");
asking = false;
server.removeAllListeners("exit");
server.disconnect();
agent.destroy();
const peer = `oidc-provider ${await versionOf("oidc-provider")}`;
report("login_http", peer, logins / (cpuSeconds(after) - cpuSeconds(before)), "logins/cpu-s");
