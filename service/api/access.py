"""`GET /access`: what the key of a request may do."""

from fastapi import APIRouter, Request

from service.api.schemas import AccessReply
from service.api.services import services_of

router = APIRouter(tags=["access"])


@router.get("/access", summary="Show what the key of this request may do")
async def get_access(request: Request) -> AccessReply:
    """Return the role of the key; where the service has no keys, every client may do everything."""
    if services_of(request).settings.api_keys_file is None:
        return AccessReply(keys=False, role="admin")
    return AccessReply(keys=True, role=request.scope["role"])
