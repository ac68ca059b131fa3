// Viewer request of everything but the event streams: CloudFront runs it before it asks the HTTP API.
// Terraform replaces the value of `settings`.
const settings = { clientIpHeader: 'x-client-ip', apiKeyPrefix: '' };

function handler(event) {
    const request = event.request;
    request.headers[settings.clientIpHeader] = { value: event.viewer.ip };
    if (settings.apiKeyPrefix && hasApiKey(request.headers)) {
        request.uri = '/' + settings.apiKeyPrefix + request.uri;
    }
    return request;
}

// The order of the file service: a Bearer token wins over X-API-Key.
function hasApiKey(headers) {
    const bearer = /^bearer +(\S+)/i.exec(headers.authorization ? headers.authorization.value : '');
    return bearer ? bearer[1].startsWith('cvt_') : Boolean(headers['x-api-key']);
}
