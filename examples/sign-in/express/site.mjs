// An Express site with "Sign in with RealDID", by a stock OpenID Connect library.
import express from "express";
import openid from "express-openid-connect";

const { LISTEN, PUBLIC_URL, OIDC_ISSUER, OIDC_CLIENT_ID, OIDC_CLIENT_SECRET, SESSION_SECRET } = process.env;
const { auth, requiresAuth } = openid;
const site = express();

site.use(auth({
  issuerBaseURL: OIDC_ISSUER, baseURL: PUBLIC_URL, secret: SESSION_SECRET,
  clientID: OIDC_CLIENT_ID, clientSecret: OIDC_CLIENT_SECRET, idTokenSigningAlg: "ES256",
  authRequired: false, authorizationParams: { response_type: "code", scope: "openid" },
}));
site.get("/me", requiresAuth(), (request, response) => response.json({ sub: request.oidc.user.sub }));

site.get("/", (request, response) => response.send(request.oidc.user ? `Hello, ${request.oidc.user.sub}` : "Go to /login"));
const [host, port] = LISTEN.split(":");
site.listen(Number(port), host);
