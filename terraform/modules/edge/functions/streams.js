// Viewer request of the event streams: CloudFront runs it before it asks the load balancer.
// Terraform replaces the value of `settings`.
const settings = { clientIpHeader: 'x-client-ip', origins: [], requestHeaders: '', maxAgeS: 0 };

function handler(event) {
    const request = event.request;
    if (request.method === 'OPTIONS') {
        return preflight(request.headers.origin ? request.headers.origin.value : '');
    }
    request.headers[settings.clientIpHeader] = { value: event.viewer.ip };
    return request;
}

// The file service has no CORS of its own; for the other routes the HTTP API answers.
function preflight(origin) {
    const response = { statusCode: 204, statusDescription: 'No Content', headers: { vary: { value: 'Origin' } } };
    if (settings.origins.includes(origin)) {
        response.headers['access-control-allow-origin'] = { value: origin };
        response.headers['access-control-allow-methods'] = { value: 'GET' };
        response.headers['access-control-allow-headers'] = { value: settings.requestHeaders };
        response.headers['access-control-max-age'] = { value: String(settings.maxAgeS) };
    }
    return response;
}
