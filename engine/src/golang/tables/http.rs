//! net/http: what a server knows about a request and its answer.

use super::history::{at, at_patch, gone, gone_patch};
use super::{Structure, field};

/// A request.
#[rustfmt::skip]
pub(super) static REQUEST: Structure = Structure {
    name: "net/http.Request",
    source: "net/http/request.go",
    complete: true,
    size: &[at(5, 216), at(7, 240), at(8, 248), at(22, 288), at(23, 304)],
    fields: &[
        field("Method", 16, &[at(5, 0)]),
        field("URL", 8, &[at(5, 16)]),
        field("Proto", 16, &[at(5, 24)]),
        field("ProtoMajor", 8, &[at(5, 40)]),
        field("ProtoMinor", 8, &[at(5, 48)]),
        field("Header", 8, &[at(5, 56)]),
        field("Body", 16, &[at(5, 64)]),
        field("GetBody", 8, &[at(8, 80)]),
        field("ContentLength", 8, &[at(5, 80), at(8, 88)]),
        field("TransferEncoding", 24, &[at(5, 88), at(8, 96)]),
        field("Close", 1, &[at(5, 112), at(8, 120)]),
        field("Host", 16, &[at(5, 120), at(8, 128)]),
        field("Form", 8, &[at(5, 136), at(8, 144)]),
        field("PostForm", 8, &[at(5, 144), at(8, 152)]),
        field("MultipartForm", 8, &[at(5, 152), at(8, 160)]),
        field("Trailer", 8, &[at(5, 160), at(8, 168)]),
        field("RemoteAddr", 16, &[at(5, 168), at(8, 176)]),
        field("RequestURI", 16, &[at(5, 184), at(8, 192)]),
        field("TLS", 8, &[at(5, 200), at(8, 208)]),
        field("Cancel", 8, &[at(5, 208), at(8, 216)]),
        field("Response", 8, &[at(7, 216), at(8, 224)]),
        field("Pattern", 16, &[at(23, 232)]),
        field("ctx", 16, &[at(7, 224), at(8, 232), at(23, 248)]),
        field("pat", 8, &[at(22, 248), at(23, 264)]),
        field("matches", 24, &[at(22, 256), at(23, 272)]),
        field("otherValues", 8, &[at(22, 280), at(23, 296)]),
    ],
};

/// The answer to an HTTP/1 request.
#[rustfmt::skip]
pub(super) static RESPONSE: Structure = Structure {
    name: "net/http.response",
    source: "net/http/server.go",
    complete: true,
    size: &[at(5, 176), at(6, 200), at(7, 208), at(8, 216), at_patch(13, 13, 224), at(14, 216), at_patch(14, 5, 224), at(25, 232), at_patch(26, 11, 240)],
    fields: &[
        field("conn", 8, &[at(5, 0)]),
        field("req", 8, &[at(5, 8)]),
        field("reqBody", 16, &[at(6, 16), gone_patch(26, 11)]),
        field("reqBody", 8, &[at_patch(26, 11, 16)]),
        field("cancelCtx", 8, &[at(7, 32), at_patch(26, 11, 24)]),
        field("wroteHeader", 1, &[at(5, 16), at(6, 32), at(7, 40), at_patch(26, 11, 32)]),
        field("wroteContinue", 1, &[at(5, 17), at(6, 33), at(7, 41), gone(23)]),
        field("wants10KeepAlive", 1, &[at(7, 42), at(23, 41), at_patch(26, 11, 33)]),
        field("wantsClose", 1, &[at(7, 43), at(23, 42), at_patch(26, 11, 34)]),
        field("ecReader", 8, &[at_patch(26, 11, 40)]),
        field("canWriteContinue", 4, &[at_patch(13, 13, 44), gone(14), at_patch(14, 5, 44), at(23, 52), at_patch(26, 11, 56)]),
        field("writeContinueMu", 8, &[at_patch(13, 13, 48), gone(14), at_patch(14, 5, 48), at(23, 44), at_patch(26, 11, 48)]),
        field("w", 8, &[at(5, 24), at(6, 40), at(7, 48), at_patch(13, 13, 56), at(14, 48), at_patch(14, 5, 56), at_patch(26, 11, 64)]),
        field("cw", 24, &[at(5, 32), at(6, 48), at(7, 56), at_patch(13, 13, 64), at(14, 56), at_patch(14, 5, 64), at_patch(26, 11, 72)]),
        field("sw", 8, &[at(5, 56), gone(6)]),
        field("handlerHeader", 8, &[at(5, 64), at(6, 72), at(7, 80), at_patch(13, 13, 88), at(14, 80), at_patch(14, 5, 88), at_patch(26, 11, 96)]),
        field("calledHeader", 1, &[at(5, 72), at(6, 80), at(7, 88), at_patch(13, 13, 96), at(14, 88), at_patch(14, 5, 96), at_patch(26, 11, 104)]),
        field("written", 8, &[at(5, 80), at(6, 88), at(7, 96), at_patch(13, 13, 104), at(14, 96), at_patch(14, 5, 104), at_patch(26, 11, 112)]),
        field("contentLength", 8, &[at(5, 88), at(6, 96), at(7, 104), at_patch(13, 13, 112), at(14, 104), at_patch(14, 5, 112), at_patch(26, 11, 120)]),
        field("status", 8, &[at(5, 96), at(6, 104), at(7, 112), at_patch(13, 13, 120), at(14, 112), at_patch(14, 5, 120), at_patch(26, 11, 128)]),
        field("closeAfterReply", 1, &[at(5, 104), at(6, 112), at(7, 120), at_patch(13, 13, 128), at(14, 120), at_patch(14, 5, 128), at_patch(26, 11, 136)]),
        field("fullDuplex", 1, &[at(21, 129), at_patch(26, 11, 137)]),
        field("requestBodyLimitHit", 1, &[at(5, 105), at(6, 113), at(7, 121), at_patch(13, 13, 129), at(14, 121), at_patch(14, 5, 129), at(21, 130), gone_patch(26, 11), at(27, 138), gone_patch(27, 4)]),
        field("requestBodyLimitHit", 4, &[at_patch(26, 11, 140), gone(27), at_patch(27, 4, 140)]),
        field("trailers", 24, &[at(5, 112), at(6, 120), at(7, 128), at_patch(13, 13, 136), at(14, 128), at_patch(14, 5, 136), at_patch(26, 11, 144)]),
        field("handlerDone", 1, &[at(5, 136), gone(6)]),
        field("handlerDone", 4, &[at(6, 144), at(7, 152), at_patch(13, 13, 160), at(14, 152), at_patch(14, 5, 160), at_patch(26, 11, 168)]),
        field("dateBuf", 29, &[at(5, 137), at(6, 148), at(7, 156), at_patch(13, 13, 164), at(14, 156), at_patch(14, 5, 164), at_patch(26, 11, 172)]),
        field("clenBuf", 10, &[at(5, 166), at(6, 177), at(7, 185), at_patch(13, 13, 193), at(14, 185), at_patch(14, 5, 193), at_patch(26, 11, 201)]),
        field("statusBuf", 3, &[at(9, 195), at_patch(13, 13, 203), at(14, 195), at_patch(14, 5, 203), at_patch(26, 11, 211)]),
        field("lazyCloseNotifyMu", 8, &[at(25, 208), at_patch(26, 11, 216)]),
        field("closeNotifyCh", 8, &[at(6, 192), at(7, 200), at_patch(13, 13, 208), at(14, 200), at_patch(14, 5, 208), at(25, 216), at_patch(26, 11, 224)]),
        field("closeNotifyTriggered", 1, &[at(25, 224), at_patch(26, 11, 232)]),
        field("didCloseNotify", 4, &[at(8, 208), at_patch(13, 13, 216), at(14, 208), at_patch(14, 5, 216), gone(25)]),
    ],
};

/// An HTTP/1 connection of a server.
#[rustfmt::skip]
pub(super) static CONN: Structure = Structure {
    name: "net/http.conn",
    source: "net/http/server.go",
    complete: true,
    size: &[at(5, 168), at(6, 120), at(8, 160), at(11, 152), at(20, 144)],
    fields: &[
        field("remoteAddr", 16, &[at(5, 0), at(6, 24), at(8, 32)]),
        field("server", 8, &[at(5, 16), at(6, 0)]),
        field("cancelCtx", 8, &[at(8, 8)]),
        field("rwc", 16, &[at(5, 24), at(6, 8), at(8, 16)]),
        field("w", 16, &[at(5, 40), gone(6)]),
        field("werr", 16, &[at(5, 56), at(6, 48), at(8, 56)]),
        field("r", 8, &[at(6, 64), at(8, 72)]),
        field("bufr", 8, &[at(6, 72), at(8, 80)]),
        field("bufw", 8, &[at(6, 80), at(8, 88)]),
        field("sr", 24, &[at(5, 72), gone(6)]),
        field("lr", 8, &[at(5, 96), gone(6)]),
        field("buf", 8, &[at(5, 104), gone(6)]),
        field("tlsState", 8, &[at(5, 112), at(6, 40), at(8, 48)]),
        field("lastMethod", 16, &[at(5, 120), at(6, 88), at(8, 96)]),
        field("curReq", 16, &[at(8, 112), gone(20)]),
        field("curReq", 8, &[at(20, 112)]),
        field("curState", 16, &[at(8, 128), gone(11)]),
        field("curState", 8, &[at(11, 128), at(20, 120)]),
        field("mu", 8, &[at(5, 136), at(6, 104), at(8, 144), at(11, 136), at(20, 128)]),
        field("clientGone", 1, &[at(5, 144), gone(6)]),
        field("closeNotifyc", 8, &[at(5, 152), gone(6)]),
        field("hijackedv", 1, &[at(5, 160), at(6, 112), at(8, 152), at(11, 144), at(20, 136)]),
    ],
};

/// The answer to an HTTP/2 request; up to 1.26.
#[rustfmt::skip]
pub(super) static HTTP2_RESPONSE_WRITER_STATE: Structure = Structure {
    name: "net/http.http2responseWriterState",
    source: "net/http/h2_bundle.go",
    complete: true,
    size: &[at(6, 128), at(20, 120), gone(27)],
    fields: &[
        field("stream", 8, &[at(6, 0), gone(27)]),
        field("req", 8, &[at(6, 8), gone(27)]),
        field("body", 8, &[at(6, 16), gone(20)]),
        field("conn", 8, &[at(6, 24), at(20, 16), gone(27)]),
        field("bw", 8, &[at(6, 32), at(20, 24), gone(27)]),
        field("handlerHeader", 8, &[at(6, 40), at(20, 32), gone(27)]),
        field("snapHeader", 8, &[at(6, 48), at(20, 40), gone(27)]),
        field("trailers", 24, &[at(6, 56), at(20, 48), gone(27)]),
        field("status", 8, &[at(6, 80), at(20, 72), gone(27)]),
        field("wroteHeader", 1, &[at(6, 88), at(20, 80), gone(27)]),
        field("sentHeader", 1, &[at(6, 89), at(20, 81), gone(27)]),
        field("handlerDone", 1, &[at(6, 90), at(20, 82), gone(27)]),
        field("dirty", 1, &[at(9, 91), at(20, 83), gone(22)]),
        field("sentContentLen", 8, &[at(6, 96), at(20, 88), gone(27)]),
        field("wroteBytes", 8, &[at(6, 104), at(20, 96), gone(27)]),
        field("closeNotifierMu", 8, &[at(6, 112), at(20, 104), gone(27)]),
        field("closeNotifierCh", 8, &[at(6, 120), at(20, 112), gone(27)]),
    ],
};

/// The same in 1.27 and later.
#[rustfmt::skip]
pub(super) static HTTP2_INTERNAL_RESPONSE_WRITER_STATE: Structure = Structure {
    name: "net/http/internal/http2.responseWriterState",
    source: "net/http/internal/http2/server.go",
    complete: true,
    size: &[at(27, 288)],
    fields: &[
        field("stream", 8, &[at(27, 0)]),
        field("req", 176, &[at(27, 8)]),
        field("conn", 8, &[at(27, 184)]),
        field("bw", 8, &[at(27, 192)]),
        field("handlerHeader", 8, &[at(27, 200)]),
        field("snapHeader", 8, &[at(27, 208)]),
        field("trailers", 24, &[at(27, 216)]),
        field("status", 8, &[at(27, 240)]),
        field("wroteHeader", 1, &[at(27, 248)]),
        field("sentHeader", 1, &[at(27, 249)]),
        field("handlerDone", 1, &[at(27, 250)]),
        field("sentContentLen", 8, &[at(27, 256)]),
        field("wroteBytes", 8, &[at(27, 264)]),
        field("closeNotifierMu", 8, &[at(27, 272)]),
        field("closeNotifierCh", 8, &[at(27, 280)]),
    ],
};

/// A URL.
#[rustfmt::skip]
pub(super) static URL: Structure = Structure {
    name: "net/url.URL",
    source: "net/url/url.go",
    complete: true,
    size: &[at(5, 120), at(7, 128), at(15, 144)],
    fields: &[
        field("Scheme", 16, &[at(5, 0)]),
        field("Opaque", 16, &[at(5, 16)]),
        field("User", 8, &[at(5, 32)]),
        field("Host", 16, &[at(5, 40)]),
        field("Path", 16, &[at(5, 56)]),
        field("RawPath", 16, &[at(5, 72), at(26, 104)]),
        field("OmitHost", 1, &[at(19, 88), at(26, 137)]),
        field("ForceQuery", 1, &[at(7, 88), at(19, 89), at(26, 136)]),
        field("RawQuery", 16, &[at(5, 88), at(7, 96), at(26, 88)]),
        field("Fragment", 16, &[at(5, 104), at(7, 112), at(26, 72)]),
        field("RawFragment", 16, &[at(15, 128), at(26, 120)]),
    ],
};
