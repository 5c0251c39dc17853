// Verifies an HS256 token, once a request: the other variables read what the first one found.
import crypto from 'crypto';
import fs from 'fs';

const secret = fs.readFileSync('@PKI@/hs256.secret');

function verified(token) {
    const parts = token.split('.');
    if (parts.length !== 3) return null;
    const tag = crypto.createHmac('sha256', secret).update(parts[0] + '.' + parts[1]).digest('base64url');
    if (tag !== parts[2]) return null;
    const header = JSON.parse(Buffer.from(parts[0], 'base64url').toString());
    const claims = JSON.parse(Buffer.from(parts[1], 'base64url').toString());
    const now = Date.now() / 1000;
    return header.alg === 'HS256' && claims.iss === '@ISS@' && claims.aud === '@AUD@' && claims.exp > now ? claims : null;
}

function id(r) {
    try {
        const field = r.headersIn.Authorization || '';
        const claims = field.startsWith('Bearer ') ? verified(field.slice(7)) : null;
        if (!claims) return '';
        r.variables.caller_claims = JSON.stringify([claims.email, claims.role]);
        return claims.sub;
    } catch (e) {
        return '';
    }
}

function email(r) { return JSON.parse(r.variables.caller_claims)[0]; }
function role(r) { return JSON.parse(r.variables.caller_claims)[1]; }

export default { id, email, role };
