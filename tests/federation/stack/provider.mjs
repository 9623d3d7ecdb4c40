// An OpenID provider on loopback: oidc-provider with its built-in login pages.
//   node provider.mjs CONFIG.json FD      listens on the socket FD; boot.py writes CONFIG
// Three things are not from the library, which lacks them: the password grant, `slow_down` for clients that poll too
// fast, and the client `slow-cli`, whose first poll is always too fast.
import crypto from 'node:crypto';
import fs from 'node:fs';
import http from 'node:http';
import { Provider, errors } from 'oidc-provider';

const config = JSON.parse(fs.readFileSync(process.argv[2], 'utf8'));
const key = crypto.createPrivateKey(fs.readFileSync(config.key)).export({ format: 'jwk' });
const DEVICE = 'urn:ietf:params:oauth:grant-type:device_code';
const DEVICE_INTERVAL = 1;
const redirects = ['127.0.0.1', 'localhost', '[::1]'].flatMap((host) => [`http://${host}/callback`, `http://${host}/`]);
const native = { application_type: 'native', redirect_uris: redirects, response_types: ['code'] };
const person = {
  grant_types: ['password', 'authorization_code', 'refresh_token', DEVICE],
  token_endpoint_auth_method: 'client_secret_basic',
  ...native,
};
const machine = { grant_types: ['client_credentials'], redirect_uris: [], response_types: [] };
const BRIEF = 5; // seconds
const LONG = 3600;

function client(client_id, properties) {
  const client_secret = config.clients[client_id];
  return { client_id, ...(client_secret ? { client_secret } : {}), ...properties };
}

function seconds(brief, long) {
  return (_ctx, _model, { clientId }) => (clientId.startsWith('brief-') ? brief : long);
}

const provider = new Provider(config.issuer, {
  clients: [
    client('robot', { ...machine, token_endpoint_auth_method: 'client_secret_basic' }),
    client('robot-post', { ...machine, token_endpoint_auth_method: 'client_secret_post' }),
    client('cli', person),
    client('slow-cli', person),
    client('brief-cli', person),
    client('public-cli', {
      token_endpoint_auth_method: 'none',
      grant_types: ['authorization_code', 'refresh_token', DEVICE],
      ...native,
    }),
    // mod_auth_openidc in front of Keystone.
    client('keystone', {
      redirect_uris: config.keystone_redirect_uris,
      grant_types: ['authorization_code'],
      response_types: ['code'],
      token_endpoint_auth_method: 'client_secret_basic',
    }),
  ],
  jwks: { keys: [{ ...key, use: 'sig', alg: 'RS256', kid: 'provider' }] },
  cookies: { keys: [config.cookie_key] },
  scopes: ['openid', 'offline_access', 'profile', 'email'],
  claims: { openid: ['sub'], email: ['email'], profile: ['preferred_username', 'groups'] },
  findAccount: (_ctx, sub) => config.users[sub] && { accountId: sub, claims: () => claims(sub) },
  // What introspection returns in addition to sub, client_id, scope, iss and exp.
  extraTokenClaims: (_ctx, token) => claims(token.accountId ?? `client:${token.clientId}`),
  // Nobody is asked to consent.
  loadExistingGrant: async (ctx) => {
    const grant = new ctx.oidc.provider.Grant({
      clientId: ctx.oidc.client.clientId,
      accountId: ctx.oidc.session.accountId,
    });
    grant.addOIDCScope('openid profile email offline_access');
    await grant.save();
    return grant;
  },
  // Without the scope `offline_access` too, as many providers do.
  issueRefreshToken: (_ctx, { clientId }) => clientId.endsWith('-cli') || clientId === 'cli',
  pkce: { required: (_ctx, { clientId }) => clientId === 'public-cli' },
  features: {
    devInteractions: { enabled: true },
    clientCredentials: { enabled: true },
    introspection: { enabled: true, allowedPolicy: (_ctx, { clientId }) => clientId === 'keystone' },
    revocation: { enabled: true },
    deviceFlow: { enabled: true },
  },
  ttl: {
    AccessToken: seconds(BRIEF, LONG),
    AuthorizationCode: LONG,
    ClientCredentials: LONG,
    DeviceCode: seconds(BRIEF, LONG),
    Grant: LONG,
    IdToken: LONG,
    Interaction: LONG,
    RefreshToken: LONG,
    Session: LONG,
  },
});

function claims(sub) {
  const { groups } = config.users[sub] ?? { groups: ['robots'] };
  return { sub, preferred_username: sub, email: `${sub.replace(':', '.')}@example.test`, groups: groups.join(';') };
}

async function passwordGrant(ctx) {
  const { username, password, scope = 'openid' } = ctx.oidc.params;
  if (config.users[username]?.password !== password) throw new errors.InvalidGrant('wrong user or password');
  const { client } = ctx.oidc;
  const grant = new provider.Grant({ clientId: client.clientId, accountId: username });
  grant.addOIDCScope(scope);
  const grantId = await grant.save();
  const token = new provider.AccessToken({ client, accountId: username, grantId, gty: 'password', scope });
  const access_token = await token.save();
  ctx.body = { access_token, token_type: 'Bearer', expires_in: token.expiration, scope: token.scope };
}
provider.registerGrantType('password', passwordGrant, ['username', 'password', 'scope']);

// The polls of each device code, to tell which of them are too fast.
const polled = new Map();

function isTooFast(deviceCode, clientId) {
  const isFirst = !polled.has(deviceCode);
  const entry = polled.get(deviceCode) ?? { last: 0, interval: DEVICE_INTERVAL };
  const now = Date.now();
  const tooFast = now - entry.last < entry.interval * 1000 - 50 || (isFirst && clientId === 'slow-cli');
  // By RFC 8628, section 3.5, the interval is longer from now on.
  polled.set(deviceCode, { last: now, interval: entry.interval + (tooFast ? 5 : 0) });
  return tooFast;
}

provider.use(async (ctx, next) => {
  if (ctx.method === 'POST' && ctx.path === '/token') {
    const chunks = [];
    for await (const chunk of ctx.req) chunks.push(chunk);
    const form = new URLSearchParams(Buffer.concat(chunks).toString());
    ctx.req.body = Object.fromEntries(form); // oidc-provider accepts a body that was already read.
    const [, basic = ''] = ctx.get('authorization').match(/^Basic (.*)$/i) ?? [];
    const clientId = form.get('client_id') ?? Buffer.from(basic, 'base64').toString().split(':')[0];
    const deviceCode = form.get('device_code');
    if (deviceCode && isTooFast(deviceCode, clientId)) {
      ctx.status = 400;
      ctx.body = { error: 'slow_down', error_description: 'you are polling too fast' };
      return;
    }
  }
  await next();
  if (ctx.path === '/device/auth' && ctx.body?.device_code) ctx.body.interval = DEVICE_INTERVAL;
});

provider.on('server_error', (_ctx, error) => console.error(error));
http.createServer(provider.callback()).listen({ fd: Number(process.argv[3]) });
